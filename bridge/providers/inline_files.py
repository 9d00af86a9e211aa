"""Recognizes files inside an answer: data URLs and long base64. Events contain their types and sizes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

import yaml

from bridge.domain.answer_file import DATA_URL, URL_SAFE
from bridge.domain.task import Json

SURE_FROM: Final = 1024  # base64 with digits and both cases of this length is a file, whatever it begins with
LIKELY_FROM: Final = 64  # base64 of this length is a file if it begins like a known type
HEAD_CHARS: Final = 64  # enough characters to recognize the type of a file
BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
LINE_FROM: Final = 60  # if base64 is broken into lines, each line but the last has at least this many characters

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DATA: Final[Any] = yaml.load(Path(__file__).with_name("media_types.yaml").read_bytes(), _LOADER)  # noqa: S506 - either is safe
_SIGNATURES: Final = [
    (each.get("at", 0), each["bytes"].encode("latin-1"), each["type"]) for each in _DATA["signatures"]
]
_UNKNOWN: Final = "application/octet-stream"


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
    is_file = expected or media_type is not None or (len(text) >= SURE_FROM and _is_mixed(text))
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
    return next((media_type for at, begin, media_type in _SIGNATURES if head[at : at + len(begin)] == begin), None)


def _length(text: str) -> int:
    return len(text.rstrip("=")) * 3 // 4
