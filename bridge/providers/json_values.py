"""Converts values from the JSON of vendors. If a value does not fit, the result is None or an empty text, never an
error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final

from bridge.domain.quoting import printable
from bridge.domain.task import Json
from bridge.providers.inline_files import inline_file

MAX_MESSAGE_CHARS: Final = 2000
MAX_CODE_CHARS: Final = 100
MOST_MESSAGES: Final = 20  # maximum number of messages from a list of errors
SECONDS_UP_TO: Final = 10**11  # the year 5138; larger numbers are milliseconds
MAX_MS: Final = 253_402_300_799_999  # the year 9999
MAX_HINT_S: Final = 3600.0  # a provider may ask for a pause of at most an hour
NUMBER: Final = re.compile(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*(%?)\s*", re.ASCII)
ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.{0,20}", re.ASCII)
BAR: Final = re.compile(r"(\d{1,3})%\|", re.ASCII)  # tqdm: " 42%|####      | 21/50 [...]"
TEXT_KEYS: Final = ("message", "msg", "error_message", "detail", "reason", "error", "description")  # in errors
NO_CODES: Final = frozenset({"0", "200", "ok", "success", "succeed", "none", "null"})
SECONDS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s?s(?:ec|\b)", re.ASCII)


def as_id(value: Json) -> str | None:
    """An id: text, or a number, as some gateways send it."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def as_ms(values: Iterable[Json], zone: tzinfo = UTC) -> int | None:
    """The first time among the values, in milliseconds since the epoch. A number is in seconds or milliseconds,
    depending on its size (0 means "not yet"). ISO 8601 is in `zone` if it contains none."""
    for value in values:
        if type(value) is int and SECONDS_UP_TO < value <= MAX_MS:  # the most common form
            return value
        number = _number(value)
        if number is None and isinstance(value, str):
            number = _iso_s(value, zone)
        if number is not None and number > 0:
            instant_ms = round(number if number > SECONDS_UP_TO else number * 1000)
            if instant_ms <= MAX_MS:
                return instant_ms
    return None


def as_progress(values: Iterable[Json], way: str) -> float | None:
    """The first progress among the values, 0 to 100. `way` is a key of `PROGRESS`."""
    percent = PROGRESS[way]
    for value in values:
        number = percent(value)
        if number is not None and 0 <= number <= 100:
            return number
    return None


def _percent(value: Json) -> float | None:
    """A number of percent, or text such as "30%"."""
    return _number(value, unit="%")


def _fraction(value: Json) -> float | None:
    """Progress as a number from 0 to 1, converted to percent; a larger number is already in percent."""
    number = _number(value)
    return None if number is None else round(number * 100 if number <= 1 else number, 2)


def _either(value: Json) -> float | None:
    """Progress as gateways send it: a whole number or "40%" is in percent, a decimal from 0 to 1 is a fraction."""
    number = _number(value, unit="%")
    is_decimal = isinstance(value, float) or (isinstance(value, str) and "." in value and "%" not in value)
    return round(number * 100, 2) if number is not None and is_decimal and number <= 1 else number


def _tqdm(value: Json) -> float | None:
    """The progress of the last progress bar in a log."""
    bars = BAR.findall(value[-20_000:]) if isinstance(value, str) else []
    return float(bars[-1]) if bars else None


PROGRESS: Final[Mapping[str, Callable[[Json], float | None]]] = {
    "percent": _percent,
    "fraction": _fraction,
    "either": _either,
    "tqdm": _tqdm,
}
"""The function for each word in a description."""


def as_hint_s(values: Iterable[Json]) -> float | None:
    """The first wait among the values: a number of seconds, or text that contains one ("resets in ~30s")."""
    for value in values:
        number = _number(value)
        if number is None and isinstance(value, str) and (found := SECONDS.search(value[:1000])):
            number = float(found[1])
        if number is not None and number >= 0:
            return min(number, MAX_HINT_S)
    return None


def as_message(values: Iterable[Json]) -> str:
    """The first text among the values that is not empty, at most 2000 characters. The texts of an object or a list of
    errors are joined: `{"detail": [{"msg": "too long"}]}` gives "too long"."""
    for value in values:
        if text := _text(value, depth=3):
            return text[:MAX_MESSAGE_CHARS]
    return ""


def _text(value: Json, depth: int) -> str:
    if not value:
        return ""
    if isinstance(value, str):
        return "" if inline_file(value) is not None else value.strip()  # a file is not a message
    if depth and isinstance(value, dict):
        return next((text for key in TEXT_KEYS if (text := _text(value.get(key), depth - 1))), "")
    if depth and isinstance(value, list):
        found = [text for each in value[:MOST_MESSAGES] if (text := _text(each, depth - 1))]
        return "; ".join(dict.fromkeys(found))
    return ""


def as_code(values: Iterable[Json]) -> str | None:
    """The first error code among the values, as text. A code that means success is skipped."""
    for value in values:
        text = as_id(value)
        if text is not None and (code := one_line(text.strip(), MAX_CODE_CHARS)) and code.lower() not in NO_CODES:
            return code
    return None


def one_line(text: str, most: int) -> str:
    """One printable line of at most `most` characters."""
    if len(text) <= most and text.isprintable() and " " not in text:
        return text
    line = printable(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _iso_s(text: str, zone: tzinfo) -> float | None:
    if ISO.fullmatch(text) is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(value: Json, unit: str = "") -> float | None:
    if isinstance(value, str):
        found = NUMBER.fullmatch(value)
        return float(found[1]) if found is not None and found[2] in {"", unit} else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
