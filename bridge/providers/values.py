"""From JSON values as vendors send them to ours. Anything that does not fit is None or empty, never an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from bridge.domain.task import Json

MAX_MESSAGE_CHARS: Final = 2000
SECONDS_UP_TO: Final = 10**11  # the year 5138: greater numbers are milliseconds
MAX_MS: Final = 253_402_300_799_999  # the year 9999
NUMBER: Final = re.compile(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*(%?)\s*", re.ASCII)


def as_id(value: Json) -> str | None:
    """An id: text, or a number that some gateways make of it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def as_ms(values: Iterable[Json]) -> int | None:
    """The first instant among them, in milliseconds since the epoch; 0 means "not yet"."""
    for value in values:
        number = _number(value)
        if number is not None and number > 0:
            instant_ms = int(number if number > SECONDS_UP_TO else number * 1000)
            if instant_ms <= MAX_MS:
                return instant_ms
    return None


def as_percent(values: Iterable[Json]) -> float | None:
    """The first progress among them, 0 to 100: a number of per cent, or text such as "30%"."""
    for value in values:
        number = _number(value, unit="%")
        if number is not None and 0 <= number <= 100:
            return number
    return None


def as_message(values: Iterable[Json]) -> str:
    """The first text among them that says something, trimmed to a length that can be told."""
    for value in values:
        if isinstance(value, str) and (text := value.strip()):
            return text[:MAX_MESSAGE_CHARS]
    return ""


def one_line(text: str, most: int) -> str:
    """One printable line of at most `most` characters."""
    line = " ".join(text[: 4 * most].split())
    if not line.isprintable():
        line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _number(value: Json, unit: str = "") -> float | None:
    if isinstance(value, str):
        found = NUMBER.fullmatch(value)
        return float(found[1]) if found is not None and found[2] in {"", unit} else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
