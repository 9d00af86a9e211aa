"""The address of a webhook whose URL contains expressions. It is computed when the event is committed, and never
changes.

A stored address never contains a secret of the settings. If the URL refers to one (`${TOKEN}`), only the values of its
expressions are stored, otherwise path and query. Scheme, host and port always come from the settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import orjson

from bridge.domain.change import AccountChange
from bridge.domain.event import Event
from bridge.domain.event_building import account_event
from bridge.domain.sample import is_sample
from bridge.expressions.hook_url import has_expression, pieces_of

if TYPE_CHECKING:
    from bridge.sinks.templates import TextTemplate

NAMES: Final = "account action event_id label meta provider task_id topic".split()
"""The names that an expression may use; null when unknown."""

MOST_CHARS: Final = 2048  # maximum for one value, percent-encoded
SAMPLE: Final = "sample"  # for values that the sample of `genbridge test` lacks
_NOTHING: Final = "!"  # prefix of a stored reason why there is no address


class Unaddressed(Exception):
    """A delivery has no address. The text says why."""


class HookAddress:
    """The address of one webhook. ValueError if the URL is not a valid template or uses an unknown name."""

    def __init__(self, url: str, *, endpoint: str = "", holds_secret: bool = False) -> None:
        self._where = f"endpoints.{endpoint}.url" if endpoint else "the URL"
        self._holds_secret = holds_secret
        self._pieces = pieces_of(url) if has_expression(url) else []
        self._plain = url
        self._origin, self._begin = _split(self._pieces[0].text if self._pieces else url)
        self._templates = _templates([piece.text for piece in self._pieces if piece.is_expression])
        try:
            self._target(dict.fromkeys(self._templates, "x"))
        except Unaddressed:
            raise ValueError("has . or .. in its path; write the resolved path") from None

    def fill(self, event: Event) -> str:
        """The text to store with a delivery of this event; "" for a URL without expressions. Never raises."""
        if not self._templates:
            return ""
        try:
            values = self._values(event)
            target = self._target(values)
        except Unaddressed as problem:
            return f"{_NOTHING}{problem}"
        return orjson.dumps(values).decode() if self._holds_secret else target

    def url(self, stored: str) -> str:
        """The URL of a delivery, from the text that was stored with it. Unaddressed if no URL was stored."""
        if stored.startswith(_NOTHING):
            raise Unaddressed(stored.removeprefix(_NOTHING))
        if stored.startswith(("/", "?")):
            return self._origin + stored
        if not self._templates:
            return self._plain
        return self._origin + self._target(json.loads(stored) if stored else {})

    def _values(self, event: Event) -> dict[str, str]:
        """The value of each expression, percent-encoded."""
        known = {name: event.data.get(name) for name in NAMES} | {
            "account": event.account or None,
            "event_id": event.event_id,
            "topic": event.topic.value,
        }
        lacking = SAMPLE if is_sample(event) else ""
        return {source: self._value(source, known) or lacking for source in self._templates}

    def _value(self, source: str, known: Mapping[str, object]) -> str:
        try:
            return self._templates[source].render_whole(known, most_chars=MOST_CHARS)
        except ValueError as fault:
            raise Unaddressed(f"{self._where}: {{{{ {source} }}}}: {fault}") from None

    def _target(self, values: Mapping[str, str]) -> str:
        """Path and query. Unaddressed if a value would make a path segment empty, or change the structure of the
        path."""
        made = self._begin
        for piece in self._pieces[1:]:
            if not piece.is_expression:
                made += piece.text
                continue
            value = values.get(piece.text)
            if value is None:
                raise Unaddressed(f"{self._where} had other expressions when this delivery was stored")
            if not value and "?" not in made:
                raise Unaddressed(f"{self._where}: {{{{ {piece.text} }}}} has no value for this event")
            made += value
        path = made.partition("?")[0]
        if {unquote(segment) for segment in path.split("/")} & {".", ".."}:
            raise Unaddressed(f"{self._where}: a value would change the path (. or ..)")
        return made


def _templates(sources: Sequence[str]) -> Mapping[str, TextTemplate]:
    if not sources:
        return {}
    from bridge.sinks.templates import URL_VALUES, TextTemplate  # here, because few URLs have expressions

    return {source: TextTemplate(f"{{{{ {source} }}}}", names=NAMES, sandbox=URL_VALUES) for source in sources}


def has_address_without_task(url: str) -> bool:
    """Whether this URL has an address for events about accounts and endpoints, which have no task."""
    event = account_event(AccountChange(account="x", blocked=True, reason="", count=1, blocked_s=0.0, at=0.0))
    return not HookAddress(url).fill(event).startswith(_NOTHING)


def _split(url: str) -> tuple[str, str]:
    """Scheme, host and port; and the rest."""
    scheme, _, rest = url.partition("://")
    end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    return f"{scheme}://{rest[:end]}", rest[end:]
