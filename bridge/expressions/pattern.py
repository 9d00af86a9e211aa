"""Regular expressions from the settings, matched in linear time by RE2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bridge.clock import thread_cpu_us
from bridge.expressions.answer_budget import use

if TYPE_CHECKING:
    import re2

MOST_WORK: Final = 10_000_000  # instructions of a pattern times characters of a value: 50 ms in RE2's slowest mode
MEMORY_BYTES: Final = 1 << 20  # limit for a compiled pattern with its caches
FREE_WORK: Final = 4_000  # the same product: 20 microseconds in RE2's slowest mode
FREE_US: Final = 20  # a faster search is free; most take 1 or 2
STEPS_A_US: Final = 2
TOO_LARGE: Final = "the regular expression is too large; use fewer or smaller repetitions"

_BEYOND: Final = re.compile(r"invalid (perl operator|escape sequence)|bad repetition operator")
LACKING: Final = (
    "RE2 cannot run this regular expression: write it without lookaround, backreferences, atomic or conditional "
    "groups, and possessive repetition, with \\z for the end of the text"
)


class Pattern:
    """A regular expression, compiled once, for values of at most `longest` characters. `where` is its location in the
    settings, if known. ValueError, with a message for people, if it is invalid or uses a feature that RE2 lacks."""

    __slots__ = ("_compiled", "_longest_free", "text", "where")

    def __init__(self, text: str, *, longest: int) -> None:
        self.text = text
        self.where = ""
        self._compiled = _compiled(text, longest)
        self._longest_free = FREE_WORK // max(1, self._compiled.programsize)  # bytes

    def is_in(self, value: str) -> bool:
        """Whether it matches a part of the value. ExpressionLimit if the answer's budget is used up."""
        # As bytes, because re2 raises for a lone surrogate in a str.
        raw = value.encode(errors="surrogatepass")
        if len(raw) <= self._longest_free:
            return self._compiled.search(raw) is not None
        began = thread_cpu_us()
        found = self._compiled.search(raw)
        took_us = thread_cpu_us() - began
        if took_us > FREE_US:
            use(self.text, self.where, took_us * STEPS_A_US)
        return found is not None

    def is_whole(self, value: str) -> bool:
        """Whether it matches the whole value."""
        return self._compiled.fullmatch(value.encode(errors="surrogatepass")) is not None

    def parts(self, value: str) -> dict[str, str] | None:
        """The named groups of a match of the whole value, "" for an unused group; None if it does not match."""
        found = self._compiled.fullmatch(value.encode(errors="surrogatepass"))
        if found is None:
            return None
        named = {name.decode() if isinstance(name, bytes) else name: part for name, part in found.groupdict().items()}
        return {name: (part or b"").decode(errors="surrogatepass") for name, part in named.items()}


def _compiled(text: str, longest: int) -> re2._Regexp:
    import re2  # imported here, because most quick commands match no pattern

    options = re2.Options()
    options.max_mem = MEMORY_BYTES
    options.log_errors = False
    try:
        compiled = re2.compile(text.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(_problem(error)) from None
    if compiled.programsize * longest > MOST_WORK:
        raise ValueError(TOO_LARGE)
    return compiled


def _problem(error: Exception) -> str:
    message = error.args[0] if error.args else ""
    message = message.decode(errors="replace") if isinstance(message, bytes) else str(error)
    if "too large" in message or "repetition size" in message:
        return f"{TOO_LARGE} ({message})"
    return f"{LACKING if _BEYOND.match(message) else 'not a regular expression (RE2 syntax)'}: {message}"
