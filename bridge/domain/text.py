"""Text from outside, made fit to be shown on a line of ours."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line: what cannot be printed (control characters, direction marks, broken characters) as Python
    would write it, so that it plays no tricks on a terminal or in a log."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str, *, limit: int = 60) -> str:
    """The text in quotes for a message, `printable`; of more than `limit` characters the beginning."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return f'"{printable(cut)}"'
