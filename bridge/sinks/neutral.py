"""Makes strings from outside harmless for chats and one-line reasons.

Chat services interpret Markdown, HTML, mentions and commands in angle brackets. No escape works everywhere: one service
prints the backslash that another needs. So the few special characters are replaced by similar characters without a
special meaning. Result URLs stay unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from bridge.domain.task import Json

MOST_CHARS: Final = 500  # maximum for one string from outside
MOST_ITEMS: Final = 50  # maximum for one list or object from outside
MOST_DEPTH: Final = 6

_INERT: Final = str.maketrans("<>[]*`~|\\", "\u2039\u203a()\u2217'\u223c\u00a6\u2216")
_BLANK: Final = "\u200b"  # a zero-width space: invisible, and it breaks mentions and headings
_MENTION: Final = re.compile(r"@(?=\w)")
_BROADCAST: Final = re.compile(r"@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?=#?\w{2,32};)")
_OPENING_UNDERSCORES: Final = re.compile(r"(?<!\w)_+(?=\S)")
_BLOCK_MARK: Final = re.compile(r"^(?=[#+=-])")
_UNSAFE_IN_URL: Final = re.compile(r'[\s<>"`{}|\\^]')
_JOINERS: Final = "\u200c\u200d"  # emoji and several scripts need them


def one_line(text: str, *, most_chars: int = MOST_CHARS) -> str:
    """The text on one line without control characters, direction marks and broken characters, cut with an ellipsis."""
    # Cut first, so that a megabyte takes no longer than a line, and again afterwards.
    cleaned = " ".join("".join(map(_clean_char, text[: 4 * most_chars])).split())
    return cleaned if len(cleaned) <= most_chars else cleaned[: most_chars - 1] + "…"


def neutral(text: str, *, most_chars: int = MOST_CHARS) -> str:
    """The text on one line, without any Markdown, HTML, mention or entity."""
    inert = one_line(text, most_chars=most_chars).translate(_INERT)
    inert = _ENTITY.sub("\uff06", inert)
    inert = _OPENING_UNDERSCORES.sub(lambda run: "\uff3f" * len(run[0]), inert)
    inert = _BLOCK_MARK.sub(_BLANK, inert)
    return _MENTION.sub("@" + _BLANK, inert)


def neutral_json(value: Json, *, depth: int = 0) -> Json:
    """A JSON value of limited size with neutral strings and keys, for templates."""
    if isinstance(value, str):
        return neutral(value)
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**18 else str(value)[:20] if abs(value) < 10**100 else "…"
    if depth >= MOST_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:MOST_ITEMS]
        return {neutral(str(key)): neutral_json(item, depth=depth + 1) for key, item in pairs}
    if isinstance(value, Sequence):
        return [neutral_json(item, depth=depth + 1) for item in value[:MOST_ITEMS]]
    return neutral(str(value))


def link(url: str) -> str:
    """The same URL, safe in every chat client: no character in it can end it early.

    Invisible characters, and those that are invalid in a URL, are percent-encoded, as any client would do. The `@` of
    `@everyone` is encoded, too, because some services react to it even inside a URL. Anything that is not an http(s)
    URL is treated as text.
    """
    if not url.lower().startswith(("https://", "http://")):
        return neutral(url)
    url = _BROADCAST.sub("%40", url)
    url = _UNSAFE_IN_URL.sub(lambda char: quote(char[0], safe=""), url)
    return "".join(char if char.isprintable() else quote(char, safe="", errors="replace") for char in url)


def presentable(text: str) -> str:
    """A whole text, ready to send: line breaks stay, invisible characters are removed."""
    lines = ("".join(map(_clean_char, line)).rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _clean_char(char: str) -> str:
    if char.isprintable() or char in _JOINERS or char == _BLANK:
        return char
    category = unicodedata.category(char)
    if category == "Cf":
        return ""
    return " " if category in {"Cc", "Zs", "Zl", "Zp"} else "\ufffd"
