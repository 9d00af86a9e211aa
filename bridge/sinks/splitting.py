"""Splits a text into messages within the limit of a chat service, and never cuts a URL.

Messages are filled with whole lines. A line that is too long is split between words, and a word only if it is not a
URL. A notice at the end counts the results that could not be sent, so that an incomplete text never looks complete.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

MOST_MESSAGES: Final = 50  # maximum for one delivery

_LINK: Final = re.compile(r"https?://\S")
_WORDS: Final = re.compile(r"\S+")

Measure = Callable[[str], int]
"""Returns the size of a text as a service counts it. A prefix is never larger than the whole text."""

RestNotice = Callable[[int], str]
"""Returns a line about what does not fit, from the number of results in it."""


def utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def utf16_units(text: str) -> int:
    """Characters as Telegram and JavaScript count them: most emoji count as two."""
    return len(text) + sum(1 for char in text if char > "\uffff")


def json_bytes(text: str) -> int:
    """The bytes of the text inside a JSON body."""
    return len(orjson.dumps(text.encode("utf-8", "replace").decode())) - 2


def apprise_json_bytes(text: str) -> int:
    """The bytes of a JSON body in which Apprise sends the text, in ASCII: most Chinese characters count as six."""
    return len(json.dumps(text)) + 500  # for everything around the text


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimit:
    """How much text fits into one message. A URL that is a separate message may have up to `lone_url`."""

    size: int
    measure: Measure = len
    lone_url: int = 0

    def fits(self, text: str) -> bool:
        return self.measure(text) <= self.size


BODY_LIMIT: Final = MessageLimit(size=18_000, measure=json_bytes)
"""For services that accept JSON bodies of at most 20,000 bytes; 2 KB are reserved for everything around the text."""


def split_text(text: str, limit: MessageLimit, *, notice: RestNotice, most_messages: int = MOST_MESSAGES) -> list[str]:
    """The messages, in order; at least one. If something does not fit, the last line is the notice about it."""
    pieces = [piece for line in text.split("\n") for piece in _pieces(line, limit)]
    lost = [piece for piece in pieces if not _is_sendable(piece, limit)]
    messages = _packed([piece for piece in pieces if _is_sendable(piece, limit)], limit)
    if not lost and len(messages) <= most_messages:
        return messages or [""]
    lost += messages[most_messages:]
    return _with_notice(messages[:most_messages], lost, limit, notice, most_messages)


def mark_sent(messages: Sequence[str]) -> str:
    """A text to store about the accepted messages; "" if there are none. See `count_sent`."""
    digest = hashlib.sha256("\0".join(messages).encode(errors="replace")).hexdigest()[:16]
    return f"{len(messages)}:{digest}" if messages else ""


def count_sent(messages: Sequence[str], mark: str) -> int:
    """How many of the messages were already sent, according to the stored mark. 0 if the messages have changed since,
    for example with the settings."""
    number = mark.partition(":")[0]
    count = int(number) if number.isdecimal() else 0
    return count if count <= len(messages) and mark_sent(messages[:count]) == mark else 0


def _pieces(line: str, limit: MessageLimit) -> Iterator[str]:
    """The line, or parts of it that fit. A URL is never split, even if it does not fit."""
    if limit.fits(line):
        yield line
        return
    part = ""
    for word in _WORDS.findall(line):
        longer = f"{part} {word}" if part else word
        if limit.fits(longer):
            part = longer
            continue
        if part:
            yield part
        part = word
        if _LINK.search(word) and not limit.fits(word):
            yield word
            part = ""
        while part and not limit.fits(part):
            cut = _longest_prefix(part, limit)
            yield part[:cut]
            part = part[cut:]
    if part:
        yield part


def _longest_prefix(word: str, limit: MessageLimit) -> int:
    """How many characters of the word fit; at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if limit.fits(word[:middle]) else (low, middle - 1)
    return low


def _is_sendable(piece: str, limit: MessageLimit) -> bool:
    return limit.fits(piece) or (_LINK.match(piece) is not None and limit.measure(piece) <= limit.lone_url)


def _packed(pieces: list[str], limit: MessageLimit) -> list[str]:
    """The pieces as messages, each as full as possible."""
    messages: list[str] = []
    for piece in pieces:
        longer = f"{messages[-1]}\n{piece}" if messages else piece
        if messages and limit.fits(longer):
            messages[-1] = longer
        elif messages and not messages[-1].strip():
            messages[-1] = piece
        else:
            messages.append(piece)
    stripped = [message.strip("\n") for message in messages]
    return [message for message in stripped if message.strip()]


def _with_notice(
    messages: list[str], lost: list[str], limit: MessageLimit, notice: RestNotice, most_messages: int
) -> list[str]:
    """The messages with a last line about what was left out. Whole lines are removed to make room for that line."""
    kept, lost = list(messages), list(lost)
    while True:
        line = notice(sum(len(_LINK.findall(text)) for text in lost))
        if kept and limit.fits(f"{kept[-1]}\n{line}"):
            return [*kept[:-1], f"{kept[-1]}\n{line}"]
        if not kept or len(kept) < most_messages:
            return [*kept, line if limit.fits(line) else line[: _longest_prefix(line, limit)]]
        before, _, line = kept[-1].rpartition("\n")
        kept[-1:] = [before] if before else []
        lost.append(line)
