"""The attempts at one Apprise target: one plugin, one bounded thread, one attempt at a time.

The outcome comes from the requests, answers and log of the plugin. Most plugins check only the status of an answer, but
some services refuse a message with HTTP 200.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import anyio

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Refused
from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, AnswerReader, Verdict, object_of, read_nothing, words_of
from bridge.sinks.apprise_plugin import ApprisePlugin, ChatMessage, UnusableUrl
from bridge.sinks.attached_files import REFUSED_FILE, ResultFile, ResultFiles, counted_files
from bridge.sinks.call_threads import CallThreads, NoFreeThread, NoThread
from bridge.sinks.chat_cards import ChatCard
from bridge.sinks.chat_services import reader_at
from bridge.sinks.chat_wording import PLAIN_LOOK, TOPIC_LOOKS, ChatWording
from bridge.sinks.human_values import rest_notice
from bridge.sinks.judging import judge
from bridge.sinks.message_plan import MessagePlan
from bridge.sinks.neutral import one_line
from bridge.sinks.plugin_targets import PluginTarget
from bridge.sinks.posting import not_attempted
from bridge.sinks.requests_hook import ChatNetwork, Exchange, Recording, recording
from bridge.sinks.texts import WrittenMessage
from bridge.sinks.url_scrubber import without_secrets

T = TypeVar("T")

THREADS_PER_TARGET: Final = 2  # one for the current attempt, and one for an abandoned attempt that still hangs

# The operator's own programs answer, so any answer can mean success.
_PROGRAMS: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})

# Without HTTP (mail, MQTT, XMPP) only the log is known, and it does not show whether the message was sent. So wait, to
# avoid sending it twice.
_UNANSWERED: Final = re.compile(r"time[d-]?[ -]?out|connection unexpectedly closed", re.IGNORECASE)


class ChatTarget:
    """One target, or a whole URL. Its plugins are kept between attempts, for their connections and their own rate
    limits. One attempt at a time uses a plugin, and after a failure the plugin is dropped."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        timeout_s: float,
        give_up_s: float,
        words: ChatWording,
        files: ResultFiles | None = None,
        network: ChatNetwork | None = None,
        target: PluginTarget | None = None,
        previews: bool = False,
    ) -> None:
        self._url = url
        self._give_up_s = give_up_s
        self._ends_at = math.inf  # when the current attempt is given up
        self._words = words
        self._files = files
        self._network = network
        self._new_plugin = partial(ApprisePlugin, url, timeout_s=timeout_s, target=target, previews=previews)
        self._threads = CallThreads(count=THREADS_PER_TARGET, name=f"chat-{name}")
        self._idle: list[ApprisePlugin] = []

    async def send(self, written: WrittenMessage, delivery: Delivery) -> Outcome:
        """Make one attempt. Raises nothing, except for cancellation.

        A message that takes longer than the time-out may still succeed, so this waits for its outcome, but at most
        `give_up_s` for the attempt. Meanwhile its queue sends nothing else to this target.
        """
        self._ends_at = anyio.current_time() + self._give_up_s
        plugin = self._idle.pop() if self._idle else await self._call(None, lambda _: self._new_plugin())
        if isinstance(plugin, Deferred):
            return plugin
        plan = await self._plan(plugin, written, delivery)
        outcome = plan if isinstance(plan, Deferred) else await plan.send(delivery.sent_so_far)
        if isinstance(outcome, Accepted) and anyio.current_time() < self._ends_at:  # else a thread may still use it
            self._idle.append(plugin)
        return outcome

    async def _plan(self, plugin: ApprisePlugin, written: WrittenMessage, delivery: Delivery) -> MessagePlan | Deferred:
        files, note = await self._files_of(plugin, written.card, delivery)
        notice = rest_notice(delivery.topic, delivery.subject, self._words)
        tone = TOPIC_LOOKS.get(delivery.topic, PLAIN_LOOK).tone

        def plan(_: Recording) -> MessagePlan:
            whole = plugin.with_files(written, files) if files else None
            follows = bool(files) and whole is None
            return MessagePlan(
                parts=[
                    (message.text, partial(self._send, plugin, tone, message))
                    for message in plugin.messages(written, notice=notice, files_follow=follows)
                ],
                whole=partial(self._send_whole, plugin, tone, whole, files) if whole is not None else None,
                follow_up=partial(self._send_later, plugin, tone, files) if follows else None,
                note=note,
            )

        return await self._call(plugin, plan)

    async def _files_of(
        self, plugin: ApprisePlugin, card: ChatCard | None, delivery: Delivery
    ) -> tuple[Sequence[ResultFile], str]:
        """The files to attach; or none, and the reason."""
        wanted = plugin.facts.files_of(card) if card is not None and plugin.takes_files else ()
        if card is None or self._files is None or not wanted:
            return (), ""
        return await self._files.of_card(card, wanted, plugin.facts.file_bytes(card), delivery)

    async def _send(self, plugin: ApprisePlugin, tone: str, message: ChatMessage) -> Outcome:
        return await self._call(plugin, lambda recorded: _judged(plugin, plugin.notify(message, tone=tone), recorded))

    async def _send_whole(
        self, plugin: ApprisePlugin, tone: str, message: ChatMessage, files: Sequence[ResultFile]
    ) -> Outcome | None:
        def send(recorded: Recording) -> Accepted | Deferred | None:
            outcome = _judged(plugin, plugin.notify(message, tone=tone, files=files), recorded)
            if isinstance(outcome, Accepted):
                return Accepted(detail=f"{outcome.detail}, {counted_files(files)}", doubt=outcome.doubt)
            if any(each.is_good for each in recorded.exchanges):  # the first file already carried the text
                return Accepted(detail=f"{_service(plugin)}, without some of its files")
            # For services without HTTP (mail), only the outcome counts.
            was_refused = all(each.answer is not None for each in recorded.exchanges)
            return None if was_refused and not (outcome.is_unanswered or outcome.delays_queue) else outcome

        return await self._call(plugin, send)

    async def _send_later(self, plugin: ApprisePlugin, tone: str, files: Sequence[ResultFile]) -> str:
        message = ChatMessage("", plugin.facts.file_text)
        is_sent = await self._call(plugin, lambda _: plugin.notify(message, tone=tone, files=files))
        if isinstance(is_sent, Deferred):
            return f"sent as a link: {is_sent.reason}"
        return counted_files(files) if is_sent else REFUSED_FILE

    async def _call(self, plugin: ApprisePlugin | None, work: Callable[[Recording], T]) -> T | Deferred:
        """The result of `work`, which runs in a thread. Deferred if it fails, even in an unexpected way."""

        schemes = plugin.schemes if plugin is not None else ()

        def call() -> T | Deferred:
            result: T | Deferred
            with recording(self._network) as recorded:
                try:
                    result = work(recorded)
                except UnusableUrl as error:
                    return Deferred(reason=without_secrets([*error.args, *recorded.log], url=self._url))
                # Not only Exception: if a plugin calls sys.exit, the delivery must not be lost.
                except BaseException as error:
                    why = f"{type(error).__name__}: {error}"
                    result = replace(failed(recorded.exchanges, schemes, [*recorded.log, why]), reason=why)
            if not isinstance(result, Deferred):
                return result
            # Apprise says less than an answer, and adds its raw exceptions.
            texts = _problems(recorded.exchanges, schemes) or [result.reason, *recorded.log]
            reason = without_secrets(texts, url=self._url, shown=plugin.shown_url if plugin is not None else "")
            return replace(result, reason=reason or "the service did not accept it and gave no reason")

        try:
            with anyio.CancelScope(deadline=self._ends_at):
                return await self._threads.run(call)
        except NoFreeThread as problem:
            return not_attempted(str(problem))
        except NoThread as problem:
            return Deferred(reason=str(problem))
        late = f"no answer within {self._give_up_s:g} s; the message may still arrive"
        return Deferred(reason=late, is_unanswered=True)


def _service(plugin: ApprisePlugin) -> str:
    return one_line(plugin.service_name, most_chars=60)


def _judged(plugin: ApprisePlugin, is_sent: bool, recorded: Recording) -> Accepted | Deferred:
    """The outcome of a message that the plugin reports as sent, or as failed."""
    if not is_sent:
        return failed(recorded.exchanges, plugin.schemes, recorded.log)
    outcomes = [_outcome(each, plugin.schemes) for each in recorded.exchanges if each.is_good]
    refused = next((outcome for outcome in outcomes if isinstance(outcome, Deferred)), None)
    doubts = [outcome.doubt for outcome in outcomes if isinstance(outcome, Accepted)]
    return refused or Accepted(detail=_service(plugin), doubt=next(filter(None, doubts), ""))


def failed(exchanges: Sequence[Exchange], schemes: Collection[str], log: Sequence[str]) -> Deferred:
    """The outcome of a message that the plugin reports as failed, with an empty reason."""
    outcomes = [_outcome(each, schemes) for each in exchanges]
    waits = [outcome.retry_after_s for outcome in outcomes if isinstance(outcome, Deferred)]
    known = [wait_s for wait_s in waits if wait_s is not None]
    if exchanges:
        is_unanswered = any(each.is_unanswered for each in exchanges)
    else:
        is_unanswered = any(_UNANSWERED.search(line) for line in log)
    return Deferred(
        reason="", retry_after_s=max(known, default=None), delays_queue=bool(known), is_unanswered=is_unanswered
    )


def _problems(exchanges: Sequence[Exchange], schemes: Collection[str]) -> list[str]:
    """Why there was no answer, and the answers that are refusals. Plugins often leave these details out."""
    outcomes = [_outcome(each, schemes) for each in exchanges]
    refusals = [outcome.reason for outcome in outcomes if isinstance(outcome, Deferred | Refused)]
    return [*[each.problem for each in exchanges if each.problem], *refusals]


def _outcome(exchange: Exchange, schemes: Collection[str]) -> Outcome | None:
    """What an answer means; None for no answer, and for a 2xx answer that is not about a message."""
    if exchange.answer is None or (exchange.is_good and exchange.method == "GET"):
        return None
    read = _reader(exchange.host, schemes)
    return judge(exchange.answer, read(exchange.answer), asked=exchange.url)


def _reader(host: str, schemes: Collection[str]) -> AnswerReader:
    unknown = read_nothing if _PROGRAMS.intersection(schemes) else _read_plain_refusal
    return reader_at(host, schemes) or unknown


def _read_plain_refusal(answer: Answer) -> Verdict:
    """The reader for all other services: only a clear refusal counts."""
    found, _ = object_of(answer)
    is_no = found.get("ok") is False or found.get("success") is False or found.get("errcode", 0) not in (0, "0", None)
    return Verdict(refusal=words_of(answer)) if is_no else ACCEPTED
