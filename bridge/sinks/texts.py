"""The title and text of an event that people read in a chat or an email."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from bridge.domain.event import END_TOPICS, Event
from bridge.domain.sample import sample_event
from bridge.logs import get_logger
from bridge.sinks.chat_cards import CardLink, ChatCard, card_text
from bridge.sinks.chat_wording import ENGLISH, TOPIC_LOOKS
from bridge.sinks.human_values import LOCAL, format_time, rest_notice
from bridge.sinks.message_values import (
    MOST_URLS,
    NAMES,
    USUAL_STYLE,
    ChatStyle,
    card_links,
    facts_of,
    template_values,
)
from bridge.sinks.neutral import link, neutral, presentable
from bridge.sinks.splitting import MessageLimit, split_text
from bridge.sinks.templates import Sandbox, TemplateFault, TextTemplate

log = get_logger()

MOST_TITLE: Final = 200  # characters
_SAMPLE_AT: Final = 1_764_000_000.0
MOST_BODY: Final = 200_000  # each service has its own smaller limit, see `splitting`


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMessage:
    """The message about one event, for people. `card` is set if the body is the default one, or for its files."""

    title: str
    body: str
    card: ChatCard | None = None

    def stored(self) -> bytes:
        """The body that is stored with a delivery."""
        parts = {"title": self.title, "body": self.body}
        return orjson.dumps(parts if self.card is None else {**parts, "card": self.card.json()})


class ChatTexts:
    """The texts of one endpoint. TemplateFault if a template is invalid."""

    def __init__(self, *, endpoint: str, title: str | None, body: str | None, style: ChatStyle = USUAL_STYLE) -> None:
        self._endpoint = endpoint
        self._style = style
        self._faulty: set[str] = set()
        self._own = {
            part: chat_template(source, self._style.timezone)
            for part, source in (("title", title), ("body", body))
            if source is not None
        }

    def write(self, event: Event) -> WrittenMessage:
        """Title and body, not empty and of limited size. Never raises: if a template of the operator fails, the default
        is used, and that is logged once."""
        values = template_values(event, self._style)
        default = presentable(f"{values['mark']} {values['headline']}{values['tail']}")
        title = presentable(self._rendered("title", values, default)).replace("\n", " ") or default
        if len(title) > MOST_TITLE:
            title = title[: MOST_TITLE - 1] + "…"
        card = card_of(event, title, values, self._style)
        written = presentable(self._rendered("body", values, card_text(card)))
        notice = rest_notice(event.topic, event.subject, self._style.words)
        [body] = split_text(written, MessageLimit(size=MOST_BODY), notice=notice, most_messages=1)
        if "body" in self._own:
            card = replace(card, is_replaced=True)
        is_useful = written == body and (not card.is_replaced or self._style.files)
        return WrittenMessage(title=title, body=body or title, card=card if is_useful else None)

    def _rendered(self, part: str, values: Mapping[str, object], default: str) -> str:
        own = self._own.get(part)
        if own is None:
            return default
        try:
            return own.render(values)
        except TemplateFault as fault:
            if part not in self._faulty:
                self._faulty.add(part)
                log.warning("template.failed", endpoint=self._endpoint, part=part, reason=str(fault))
            return default


def bare_texts(event: Event) -> WrittenMessage:
    """Title and body without a template, for an event whose texts could not be rendered."""
    title = f"{neutral(event.subject or event.account, most_chars=80)}: {ENGLISH.topics[event.topic][0]}"
    return WrittenMessage(title=title, body=presentable("\n".join(map(link, event.urls[:MOST_URLS]))) or title)


def read_stored(body: bytes) -> WrittenMessage:
    """The message of a delivery. ValueError, KeyError or TypeError for the body of another kind of endpoint."""
    stored = orjson.loads(body)
    card = ChatCard.from_json(stored["card"]) if "card" in stored else None
    return WrittenMessage(title=str(stored["title"]), body=str(stored["body"]), card=card)


def chat_template(source: str, timezone: str = LOCAL) -> TextTemplate:
    """A template of an operator. TemplateFault if it is invalid."""
    return TextTemplate(source, names=NAMES, sandbox=_sandbox(timezone))


def fault_of_template(source: str, style: ChatStyle) -> str | None:
    """Why a valid template of an operator gives no text for the samples of finished tasks; None if it does."""
    template, texts = chat_template(source, style.timezone), []
    for topic in sorted(END_TOPICS):
        try:
            texts.append(template.render(template_values(sample_event(_SAMPLE_AT, topic), style)))
        except TemplateFault as fault:
            return f"the default text is used for `genbridge test --topic {topic}`: {fault}"
    return None if any(map(presentable, texts)) else "gives no text for the samples of `genbridge test`"


@lru_cache(64)
def _sandbox(timezone: str) -> Sandbox:
    def time(value: object, style: str | None = None) -> str:
        return format_time(value, timezone, style)

    return Sandbox(filters={"time": time}, finalize=lambda value: "" if value is None else value)


PLAIN: Final = ChatTexts(endpoint="", title=None, body=None)
"""The default texts, for webhooks whose receivers show them to people."""


MOST_PICTURES: Final = 10


def card_of(event: Event, title: str, values: Mapping[str, Any], style: ChatStyle) -> ChatCard:
    """A card with the same content as the default text for these values."""
    found = facts_of(event)
    links = card_links(found, style.words)
    said = not values["succeeded"] and values["message"]
    why = tuple(filter(None, (values["why"], f"“{said}”" if said else "")))
    facts = " · ".join(filter(None, (values["facts"], values["until"])))
    task_id, story = values["task_id"], values["story"]
    return ChatCard(
        title=title,
        tone=TOPIC_LOOKS[event.topic].tone,
        before=(
            *(() if links else tuple(line for text in values["texts"] for line in text.split("\n"))),
            *(() if links else why),
        ),
        links=tuple(links),
        notes=why if links else (),
        facts=facts,
        after=(task_id,) if task_id and values["ended_at"] and not values["succeeded"] else (),
        pictures=tuple(map(link, found.covers[:MOST_PICTURES])) if style.previews or style.files else (),
        story=CardLink(label=style.words.story, url=story, kind="") if story else None,
        has_files=style.files and bool(links) and not any(each.needs_key and not each.copy for each in found.made),
    )
