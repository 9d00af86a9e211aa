"""A group robot of a chat service: a delivery becomes one or more messages, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Undeliverable
from bridge.domain.event import Event, Parcel, Topic
from bridge.encoding import encode
from bridge.sinks.answers import Verdict
from bridge.sinks.attached_files import REFUSED_FILE, ResultFile, ResultFiles, counted_files
from bridge.sinks.chat_cards import ChatCard
from bridge.sinks.chat_services import READERS, ROBOTS
from bridge.sinks.chat_services.chat_service import Chat, FileForm, RobotMessage
from bridge.sinks.human_values import rest_notice
from bridge.sinks.message_plan import MessagePlan
from bridge.sinks.message_values import USUAL_STYLE, ChatStyle
from bridge.sinks.posting import Poster, PostSettings
from bridge.sinks.splitting import split_text
from bridge.sinks.texts import ChatTexts, WrittenMessage, bare_texts, read_stored

UPLOADS_S: Final = 20.0  # after this time no further upload begins, because the text waits for the uploads


class RobotSink:
    """One robot. ValueError if a template is invalid.

    `format` is one of `ROBOTS`. The text is fixed when the event is committed; signature, chat and URL are made for
    each attempt. With `files`, the results are attached.
    """

    def __init__(
        self,
        *,
        name: str,
        format: str,
        settings: PostSettings,
        secret: str | None,
        title: str | None,
        body: str | None,
        chat: Chat,
        style: ChatStyle = USUAL_STYLE,
        files: ResultFiles | None = None,
    ) -> None:
        self._name = name
        self._files = files
        self._robot = ROBOTS[format]
        self._poster = Poster(name, settings, read=READERS[format])
        self._secret = secret
        self._texts = ChatTexts(endpoint=name, title=title, body=body, style=style)
        self._words = style.words
        self._chat = chat
        self._clock = settings.clock
        self._is_limited = False

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        body = (bare_texts if plain else self._texts.write)(event).stored()
        return [Parcel(endpoint=self._name, target="", body=body, address=self._poster.address(event))]

    def targets(self) -> Sequence[str]:
        return [""]

    async def deliver(self, delivery: Delivery) -> Outcome:
        written = None if delivery.target else self._written(delivery)
        if written is None:
            return Deferred(reason=f"created for another type or format than endpoints.{self._name} has now")
        url = self._poster.url(delivery)
        if isinstance(url, Undeliverable):
            return url
        url, (files, note) = self._robot.url(url), await self._files_of(written.card, delivery)
        form, card, whole, follow_up = None, written.card, None, None
        if files and card and not card.is_replaced and self._robot.write_form is not None and not delivery.sent_so_far:
            form = self._robot.write_form(card, self._chat, files)
        if form is not None:
            whole = partial(self._send_whole, url, form, files)
        elif files:
            later, note = await self._uploaded(url, files)
            follow_up = partial(self._send_later, url, later, note or counted_files(files)) if later else None
        parts = [
            (message if isinstance(message, str) else message.title, partial(self._send, url, message))
            for message in self._messages(written, delivery)
        ]
        return await MessagePlan(parts=parts, whole=whole, follow_up=follow_up, note=note).send(delivery.sent_so_far)

    async def _files_of(self, card: ChatCard | None, delivery: Delivery) -> tuple[Sequence[ResultFile], str]:
        """The files to attach; or none, and the reason."""
        if self._files is None or card is None or not card.links:
            return (), ""
        if not self._robot.file_bytes:
            return (), "sent as a link: this robot takes no files"
        return await self._files.of_card(card, card.links, self._robot.file_bytes, delivery)

    async def _uploaded(self, url: str, files: Sequence[ResultFile]) -> tuple[Sequence[RobotMessage | FileForm], str]:
        """Upload the files that need it; returns what to send after the text, and why a file is missing there.

        An upload shows nothing to anybody. So it comes before the text: if the daemon stops during a long upload, the
        text is not sent twice.
        """
        messages: list[RobotMessage | FileForm] = []
        until = self._clock.steady() + UPLOADS_S
        for each in self._robot.later_files(self._chat, files) if self._robot.later_files is not None else ():
            if not isinstance(each, FileForm) or each.then is None:
                messages.append(each)
                continue
            if self._clock.steady() > until:
                return messages, f"sent as a link: the uploads took longer than {UPLOADS_S:g} s"
            outcome, verdict = await self._post(url, each)
            if not isinstance(outcome, Accepted) or verdict is None or not verdict.media_id:
                return messages, f"{REFUSED_FILE} ({_why(outcome)})"
            messages.append(each.then(verdict.media_id))
        return messages, ""

    async def _send_whole(self, url: str, form: FileForm, files: Sequence[ResultFile]) -> Outcome | None:
        outcome, verdict = await self._post(url, form)
        if isinstance(outcome, Accepted):
            return replace(outcome, detail=f"{outcome.detail}, {counted_files(files)}")
        was_refused = verdict is not None and isinstance(outcome, Deferred) and not outcome.delays_queue
        return None if was_refused else outcome

    async def _send_later(self, url: str, messages: Sequence[RobotMessage | FileForm], note: str) -> str:
        for each in messages:
            outcome, _ = await self._post(url, each)
            if not isinstance(outcome, Accepted):
                return f"{REFUSED_FILE} ({_why(outcome)})"
        return note

    def _written(self, delivery: Delivery) -> WrittenMessage | None:
        """The content of a delivery. None if it was created for another kind of endpoint."""
        try:
            stored = orjson.loads(delivery.body)
            return self._rewritten(delivery, stored) if "data" in stored else read_stored(delivery.body)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _messages(self, written: WrittenMessage, delivery: Delivery) -> list[str | ChatCard]:
        """The messages of a delivery: its card, or its text in parts."""
        card = written.card
        if card is not None and card.can_be_shown and self._robot.write_card(card, self._chat) is not None:
            return [card]
        notice = rest_notice(delivery.topic, delivery.subject, self._words)
        text = written.title if written.body == written.title else f"{written.title}\n{written.body}"
        return list[str | ChatCard](split_text(text, self._robot.limit, notice=notice))

    def _rewritten(self, delivery: Delivery, documented: Mapping[str, Any]) -> WrittenMessage:
        """The text for a body that was created when this endpoint was a plain webhook."""
        data = documented["data"]
        instant = data.get("occurred_at") or data.get("ended_at") or 0
        event = Event(
            event_id=delivery.event_id,
            topic=Topic(documented["topic"]),
            account=delivery.account,
            subject=delivery.subject,
            occurred_at=instant / 1000,
            data=data,
        )
        return self._texts.write(event)

    async def _send(self, url: str, text: str | ChatCard) -> Outcome:
        """Send one message. If the chat has moved, send it and all later messages to the new chat."""
        outcome, verdict = await self._post(url, self._robot.message(text, self._chat))
        if verdict is None or verdict.moved_to in {"", self._chat.chat_id}:
            return outcome
        old, self._chat = self._chat.chat_id, replace(self._chat, chat_id=verdict.moved_to)
        outcome, _ = await self._post(url, self._robot.message(text, self._chat))
        if isinstance(outcome, Accepted):
            new = verdict.moved_to
            return replace(
                outcome, detail=f"{outcome.detail}; chat {old} is now {new}: write chat_id: {new} into the settings"
            )
        return outcome

    async def _post(self, url: str, message: RobotMessage | FileForm) -> tuple[Outcome, Verdict | None]:
        """Send one request; the verdict is None if there was no answer."""
        content_type = ""
        if isinstance(message, FileForm):
            url, (body, content_type) = message.url(url), message.encoded()
        else:
            if self._secret is not None and self._robot.sign is not None:
                url, message = self._robot.sign(url, message, self._secret, self._clock.now())
            body = encode(message)
        outcome, verdict = await self._poster.post(url, body, content_type=content_type)
        return self._limited(outcome, verdict), verdict

    def _limited(self, outcome: Outcome, verdict: Verdict | None) -> Outcome:
        """The outcome, with a longer wait if a limit still applies, because some services then require that."""
        if verdict is None:
            return outcome
        was_limited, self._is_limited = self._is_limited, isinstance(outcome, Deferred) and outcome.delays_queue
        if isinstance(outcome, Deferred) and was_limited and outcome.retry_after_s is not None:
            return replace(outcome, retry_after_s=max(outcome.retry_after_s, self._robot.penalty_s))
        return outcome


def _why(outcome: Outcome) -> str:
    return outcome.summary if isinstance(outcome, Accepted) else outcome.reason
