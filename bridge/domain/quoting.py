"""Makes text from outside safe to show within a line of output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_EMOJI: Final = r"\u2600-\u27bf\U0001f300-\U0001faff"
EMOJI_JOINER: Final = re.compile(rf"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])")  # as in the emoji for a family


def printable(text: str) -> str:
    """The text on one line, with unprintable characters (control characters, direction marks) escaped as in Python, so
    that they cannot affect a terminal or a log."""
    if text.isprintable():
        return text
    return "\u200d".join(map(_escaped, EMOJI_JOINER.split(text)))


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str, *, limit: int = 60) -> str:
    """The text, made `printable` and cut to `limit` characters."""
    return printable(text if len(text) <= limit else text[: limit - 1] + "…")


def quoted(text: str, *, limit: int = 60) -> str:
    """The text in quotes, `shortened`."""
    return f'"{shortened(text, limit=limit)}"'


def similar(given: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelled one most resembles; None if none is similar."""
    import difflib  # imported here, because only mistakes need it, and quick commands start faster without it

    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(given[:100].lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def unknown_name(what: str, given: str, known: Iterable[str], *, most: int = 12) -> str:
    """`unknown topic "task_fail"; did you mean "task_failed"?`, or a list of known words when none is similar."""
    words = sorted(known)
    if near := similar(given, words):
        return f'unknown {what} {quoted(given)}; did you mean "{near}"?'
    some = ", ".join(words[:most]) + (", ..." if len(words) > most else "")
    listed = f"there are: {some}" if words else "there are none"
    return f"unknown {what} {quoted(given)}; {listed}"
