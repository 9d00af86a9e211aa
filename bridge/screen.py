"""What the terminal can show: its size, colors and marks. Pipes, TERM=dumb and NO_COLOR get plain text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple, TextIO

USUAL_WIDTH: Final = 80
USUAL_HEIGHT: Final = 24
NARROWEST: Final = 20  # columns; a terminal that reports fewer is treated as if it had this many

GOOD: Final = "✓"
BAD: Final = "✗"
BUSY: Final = "⠸"
GONE: Final = "·"
CUT: Final = "…"
_SINGLE: Final = frozenset({GOOD, BAD, BUSY, GONE, CUT})  # each takes one cell
_FIRST_COMBINING: Final = "\u0300"  # every printable character before it takes one cell

STYLES: Final = {"good": "32", "bad": "31", "warn": "33", "busy": "36", "dim": "2", "bold": "1", "": ""}
MARK_STYLES: Final = {GOOD: "good", BAD: "bad", BUSY: "busy", GONE: "dim"}


class Screen(NamedTuple):
    """One output. With `marks` it also has colors; a plain terminal has only a width."""

    width: int
    height: int
    is_terminal: bool
    marks: bool
    links: bool = True

    def painted(self, text: str, style: str) -> str:
        """The text in this style, one of `STYLES`."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.marks and style and text.strip() else text

    def marked(self, mark: str, text: str) -> str:
        """The text after its mark, if the output has marks."""
        return f"{mark} {text}" if self.marks else text

    def linked(self, text: str, url: str) -> str:
        """The text as a link that the terminal opens with a click; plain text for anything but a plain web URL."""
        is_plain = url.startswith(("https://", "http://")) and url.isascii() and url.isprintable()
        return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\" if self.marks and self.links and text and is_plain else text

    def mark(self, mark: str) -> str:
        """The mark in its color and a space; empty if the output has no marks."""
        return f"{self.painted(mark, MARK_STYLES[mark])} " if self.marks else ""


def screen_of(stream: TextIO | None) -> Screen:
    """What this output can show."""
    if stream is None or not stream.isatty():
        return Screen(USUAL_WIDTH, USUAL_HEIGHT, is_terminal=False, marks=False)
    width, height = _size(stream)
    term, is_utf8 = os.environ.get("TERM"), (stream.encoding or "").lower().replace("-", "") == "utf8"
    marks = is_utf8 and not os.environ.get("NO_COLOR") and term != "dumb"
    links = term != "linux"  # the console of older kernels prints their bytes
    return Screen(width, height, is_terminal=True, marks=marks, links=links)


def can_move_cursor(screen: Screen) -> bool:
    """Whether printed lines can be replaced."""
    return screen.is_terminal and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}


def _size(stream: TextIO) -> tuple[int, int]:
    try:
        width, height = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        width, height = 0, 0
    named = os.environ.get("COLUMNS", "")
    width = int(named) if named.isascii() and named.isdigit() else width
    return max(NARROWEST, width or USUAL_WIDTH), height or USUAL_HEIGHT


def cells(text: str) -> int:
    """How many cells of a terminal a printable text takes."""
    if _is_narrow(text):
        return len(text)
    from rich.cells import cell_len  # imported here, because most texts do not need it

    return cell_len(text)


def _is_narrow(text: str) -> bool:
    """Whether each character certainly takes one cell."""
    return text.isascii() or all(char < _FIRST_COMBINING or char in _SINGLE for char in text)


def cut(text: str, most: int, *, middle: bool = False) -> str:
    """The text in at most this many cells; `…` replaces the removed part. With `middle`, both ends of the text stay, so
    that two ids with the same beginning look different."""
    if cells(text) <= most:
        return text
    if most < 2:
        return CUT[:most]
    if middle and _is_narrow(text):
        tail = (most - 1) // 2
        return f"{text[: most - 1 - tail]}{CUT}{text[len(text) - tail :]}"
    return f"{_first_cells(text, most - 1).rstrip()}{CUT}"


def padded(text: str, width: int) -> str:
    """The text, filled with spaces to this width."""
    return text + " " * (width - cells(text))


def folded(text: str, width: int) -> Iterator[str]:
    """The text in lines of at most `width` cells, wrapped at spaces if possible, all with its indent."""
    words = text.lstrip(" ")
    indent = text[: len(text) - len(words)]
    room = max(1, width - len(indent))
    line = ""
    for word in words.split(" "):
        if line and cells(line) + 1 + cells(word) > room:
            yield indent + line
            line = word
        else:
            line = f"{line} {word}" if line else word
        while cells(line) > room:
            first = _first_cells(line, room) or line[:1]
            yield indent + first
            line = line[len(first) :]
    yield indent + line


def fitted(line: str, screen: Screen, *, hang: int) -> str:
    """A line for a terminal: wrapped, with `hang` more spaces before the following lines. If it contains a word that
    does not fit, such as a URL, it is not wrapped, so that the word can be copied."""
    margin = " " * (len(line) - len(line.lstrip(" ")) + hang)
    room = screen.width - len(margin)
    if not screen.is_terminal or cells(line) <= screen.width or any(cells(word) > room for word in line.split()):
        return line
    first, *more = folded(line, screen.width)
    rest = margin + " ".join(part.strip() for part in more)
    return "\n".join([first, *(folded(rest, screen.width) if more else ())])


def _first_cells(text: str, most: int) -> str:
    """The longest beginning that takes at most this many cells."""
    if _is_narrow(text):
        return text[:most]
    from rich.cells import chop_cells  # as above

    return chop_cells(text, most)[0]
