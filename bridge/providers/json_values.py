"""Converts values from the JSON of vendors, and recognizes files inside them: data URLs and long base64. If a value
does not fit, the result is None or an empty text, never an error."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from bridge.domain.answer_file import DATA_URL, URL_SAFE
from bridge.domain.content_sniffing import binary_type
from bridge.domain.quoting import printable
from bridge.domain.task import Json
from bridge.expressions.answer_budget import once
from bridge.expressions.json_text import parse_json

ProgressForm = Literal["percent", "fraction", "either", "tqdm"]

MAX_DEPTH: Final = 64  # maximum for what finishes a task, because it is copied into stores and webhooks
MAX_MESSAGE_CHARS: Final = 2000
MAX_CODE_CHARS: Final = 100
MOST_MESSAGES: Final = 20  # maximum number of messages from a list of errors
SECONDS_UP_TO: Final = 10**11  # the year 5138; larger numbers are milliseconds
SECONDS_FROM: Final = 10**9  # September 2001; a smaller number is a duration, a number of parts or a mark, no time
MAX_MS: Final = 253_402_300_799_999  # the year 9999
MAX_HINT_S: Final = 3600.0  # a provider may ask for a pause of at most an hour
NUMBER: Final = re.compile(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*(%?)\s*", re.ASCII)
ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.{0,20}", re.ASCII)
BAR: Final = re.compile(r"(\d{1,3})%\|", re.ASCII)  # tqdm: " 42%|####      | 21/50 [...]"
TEXT_KEYS: Final = (  # in errors
    *("message", "msg", "error_message", "errorMessage", "detail", "reason", "error", "description"),
)
NO_CODES: Final = frozenset({"0", "200", "ok", "success", "succeed", "none", "null"})
SECONDS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s?s(?:ec|\b)", re.ASCII)
WAIT: Final = re.compile(  # "in ~30s", "in 6m0s", "after 2 minutes"
    r"\b(?:in|after)\s~?(?:(\d{1,3})\s?h(?:ours?)?(?![a-z])\s?)?(?:(\d{1,4})\s?m(?:in(?:ute)?s?)?(?![a-z])\s?)?"
    r"(?:(\d{1,6}(?:\.\d{1,6})?)\s?s(?:ec(?:ond)?s?)?(?![a-z]))?",
    re.ASCII | re.IGNORECASE,
)
SURE_FROM: Final = 1024  # base64 with digits and both cases of this length is a file, whatever it begins with
LIKELY_FROM: Final = 64  # base64 of this length is a file if it begins like a known type
HEAD_CHARS: Final = 88  # enough characters to recognize the type of a file
BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
LINE_FROM: Final = 60  # if base64 is broken into lines, each line but the last has at least this many characters
_SHORT_SIGNATURES: Final = frozenset({"application/gzip", "audio/aac", "image/bmp"})  # tokens may begin like these
_UNKNOWN: Final = "application/octet-stream"


def as_id(value: Json) -> str | None:
    """An id: text, or a number, as some aggregators send it."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def is_deep(value: Json, most: int = MAX_DEPTH) -> bool:
    """Whether more than `most` objects and lists are nested in the value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(most == 0 or is_deep(each, most - 1) for each in inner if isinstance(each, dict | list))


def _each_once(pairs: Sequence[tuple[str, Json]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is repeated")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_each_once)


def check_json(text: str) -> None:
    """Raise ValueError if a JSON text repeats a key, and RecursionError if it is nested too deeply."""
    _STRICT.decode(text)


def opened(value: Json) -> Json:
    """The object or list in a text that is JSON, as some aggregators send it; any other value unchanged."""
    return once(_opened, value) if isinstance(value, str) and value.lstrip()[:1] in {"{", "["} else value


def _opened(text: str) -> Json:
    try:
        inner: Json = parse_json(text)
        check_json(text)
    except (ValueError, RecursionError):
        return text
    return text if is_deep(inner, MAX_DEPTH // 2) else inner


def as_ms(values: Iterable[Json], zone: tzinfo = UTC) -> int | None:
    """The first time among the values, in milliseconds since the epoch. A number is in seconds or milliseconds,
    depending on its size (0 means "not yet"). ISO 8601 is in `zone` if it contains none."""
    for value in values:
        if type(value) is int and SECONDS_UP_TO < value <= MAX_MS:  # the most common form
            return value
        number = _number(value)
        if number is None and isinstance(value, str):
            number = _iso_s(value, zone)
        if number is not None and number >= SECONDS_FROM:
            instant_ms = round(number if number > SECONDS_UP_TO else number * 1000)
            if instant_ms <= MAX_MS:
                return instant_ms
    return None


def as_progress(values: Iterable[Json], way: ProgressForm) -> float | None:
    """The first progress among the values, 0 to 100."""
    for value in values:
        number = _percent(value, way)
        if number is not None and 0 <= number <= 100:
            return number
    return None


def _percent(value: Json, way: ProgressForm) -> float | None:
    """A number of percent. `tqdm` is the last progress bar in a log. `fraction` is from 0 to 1; a larger number is
    already in percent. With `either`, only a decimal from 0 to 1 is a fraction."""
    if way == "tqdm":
        bars = BAR.findall(value[-20_000:]) if isinstance(value, str) else []
        return float(bars[-1]) if bars else None
    number = _number(value, unit="" if way == "fraction" else "%")
    is_decimal = isinstance(value, float) or (isinstance(value, str) and "." in value and "%" not in value)
    if number is None or way == "percent" or (way == "either" and not (is_decimal and number <= 1)):
        return number
    return round(number * 100 if number <= 1 else number, 2)


def as_hint_s(values: Iterable[Json]) -> float | None:
    """The first wait among the values: a number of seconds, or text that contains a wait ("resets in ~30s")."""
    for value in values:
        number = _number(value)
        if number is None and isinstance(value, str):
            number = _wait_s(value[:1000])
        if number is not None and number >= 0:
            return min(number, MAX_HINT_S)
    return None


def _wait_s(text: str) -> float | None:
    parts = next((found.groups() for found in WAIT.finditer(text) if any(found.groups())), None)
    if parts is not None:
        return sum(float(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    found = SECONDS.search(text)
    return None if found is None else float(found[1])


def as_message(values: Iterable[Json]) -> str:
    """The first text among the values that is not empty, at most 2000 characters. The texts of an object or a list of
    errors are joined: `{"detail": [{"msg": "too long"}]}` gives "too long", also if it is a text."""
    for value in values:
        if text := _text(value, depth=3):
            return text[:MAX_MESSAGE_CHARS]
    return ""


def _text(value: Json, depth: int) -> str:
    if not value:
        return ""
    if isinstance(value, str):
        inner = opened(value) if depth else value
        if inner is not value and (text := _text(inner, depth - 1)):
            return text
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


class InlineFile(NamedTuple):
    media_type: str
    bytes: int

    @property
    def item(self) -> dict[str, Json]:
        """The item for the file in `task_result`."""
        return {"embedded": True, "media_type": self.media_type, "bytes": self.bytes}


def inline_file(value: Json, *, expected: bool = False) -> InlineFile | None:
    """The file in a text; None for any other value. `expected`: its key says that it is base64, so it may be short."""
    if not isinstance(value, str):
        return None
    if value[:5].lower() == "data:":
        return _of_data_url(value)
    if not expected and len(value) < LIKELY_FROM:
        return None
    text = _unbroken(value)
    if text is None or BASE64.fullmatch(text) is None:
        return None
    media_type = _sniffed(text)
    is_known = media_type is not None and media_type not in _SHORT_SIGNATURES
    is_file = expected or is_known or (len(text) >= SURE_FROM and _is_mixed(text))
    return InlineFile(media_type or _UNKNOWN, _length(text)) if is_file else None


def without_files(value: Json) -> Json:
    """The value with each file inside replaced by its type and size."""
    if isinstance(value, str):
        found = inline_file(value)
        return value if found is None else found.item
    if isinstance(value, Mapping):
        return {key: without_files(each) for key, each in value.items()}
    return [without_files(each) for each in value] if isinstance(value, list) else value


def _of_data_url(value: str) -> InlineFile | None:
    found = DATA_URL.match(value)
    if found is None:
        return None
    content = value[found.end() :]
    stated = found[1].strip().lower()
    if "base64" not in found[2].lower():
        return InlineFile(stated or "text/plain", len(unquote_to_bytes(content)))
    text = "".join((unquote(content) if "%" in content[:2000] else content).split())
    return InlineFile(_sniffed(text) or stated or _UNKNOWN, _length(text))


def _unbroken(value: str) -> str | None:
    """Base64 without its line breaks; None if its lines are too short for base64."""
    lines = value.strip().splitlines()
    return "".join(lines) if all(len(line) >= LINE_FROM for line in lines[:-1]) else None


def _is_mixed(text: str) -> bool:
    """Whether the text has digits and both cases, as the base64 of a file has. A repeated word does not."""
    head = text[:SURE_FROM]
    return any(map(str.isdigit, head)) and any(map(str.islower, head)) and any(map(str.isupper, head))


def _sniffed(text: str) -> str | None:
    try:
        head = base64.b64decode(text[:HEAD_CHARS].translate(URL_SAFE).rstrip("=") + "==", validate=False)
    except (binascii.Error, ValueError):
        return None
    return binary_type(head)


def _length(text: str) -> int:
    return len(text.rstrip("=")) * 3 // 4
