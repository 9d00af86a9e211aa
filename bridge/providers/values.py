"""From JSON values as vendors send them to ours. Anything that does not fit is None or empty, never an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from bridge.domain.task import Json
from bridge.domain.text import printable

MAX_MESSAGE_CHARS: Final = 2000
SECONDS_UP_TO: Final = 10**11  # the year 5138: greater numbers are milliseconds
MAX_MS: Final = 253_402_300_799_999  # the year 9999
MAX_HINT_S: Final = 3600.0  # a provider may ask for at most an hour of silence
NUMBER: Final = re.compile(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*(%?)\s*", re.ASCII)
ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.{0,20}", re.ASCII)
BAR: Final = re.compile(r"(\d{1,3})%\|", re.ASCII)  # tqdm: " 42%|####      | 21/50 [...]"
SECONDS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s?s(?:ec|\b)", re.ASCII)


def as_id(value: Json) -> str | None:
    """An id: text, or a number that some gateways make of it."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def as_ms(values: Iterable[Json]) -> int | None:
    """The first instant among them, in milliseconds since the epoch: seconds or milliseconds, told by their size (0
    means "not yet"), or ISO 8601, without a zone in UTC."""
    for value in values:
        if type(value) is int and SECONDS_UP_TO < value <= MAX_MS:  # as most send it
            return value
        number = _number(value)
        if number is None and isinstance(value, str):
            number = _iso_s(value)
        if number is not None and number > 0:
            instant_ms = round(number if number > SECONDS_UP_TO else number * 1000)
            if instant_ms <= MAX_MS:
                return instant_ms
    return None


def as_percent(values: Iterable[Json]) -> float | None:
    """The first progress among them, 0 to 100: a number of per cent, or text such as "30%"."""
    return _progress(values, lambda value: _number(value, unit="%"))


def _fraction(values: Iterable[Json]) -> float | None:
    """Likewise of a number from 0 to 1; a greater one is per cent after all."""

    def percent(value: Json) -> float | None:
        number = _number(value)
        return number * 100 if number is not None and number <= 1 else number

    found = _progress(values, percent)
    return None if found is None else round(found, 2)


def _tqdm(values: Iterable[Json]) -> float | None:
    """Likewise of a log in which progress bars are drawn: the last of them."""

    def last(value: Json) -> float | None:
        bars = BAR.findall(value[-20_000:]) if isinstance(value, str) else []
        return float(bars[-1]) if bars else None

    return _progress(values, last)


PROGRESS: Final[Mapping[str, Callable[[Iterable[Json]], float | None]]] = {
    "percent": as_percent,
    "fraction": _fraction,
    "tqdm": _tqdm,
}
"""From the word in a description to the function."""


def _progress(values: Iterable[Json], percent: Callable[[Json], float | None]) -> float | None:
    for value in values:
        number = percent(value)
        if number is not None and 0 <= number <= 100:
            return number
    return None


def as_hint_s(values: Iterable[Json]) -> float | None:
    """The first hint when to come back: a number of seconds, or text that holds one ("resets in ~30s")."""
    for value in values:
        number = _number(value)
        if number is None and isinstance(value, str) and (found := SECONDS.search(value[:1000])):
            number = float(found[1])
        if number is not None and number >= 0:
            return min(number, MAX_HINT_S)
    return None


def as_message(values: Iterable[Json]) -> str:
    """The first text among them that says something, trimmed to a length that can be told."""
    for value in values:
        if isinstance(value, str) and (text := value.strip()):
            return text[:MAX_MESSAGE_CHARS]
    return ""


def one_line(text: str, most: int) -> str:
    """One printable line of at most `most` characters."""
    if len(text) <= most and text.isprintable() and " " not in text:
        return text
    line = printable(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _iso_s(text: str) -> float | None:
    if ISO.fullmatch(text) is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(value: Json, unit: str = "") -> float | None:
    if isinstance(value, str):
        found = NUMBER.fullmatch(value)
        return float(found[1]) if found is not None and found[2] in {"", unit} else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
