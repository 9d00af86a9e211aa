"""Reasons in the reader's language: genbridge's own texts are translated, texts of providers and receivers stay as they
are. `chinese_reasons.yaml` has the Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from bridge.config.yaml import plain_yaml

MOST_CHARS: Final = 2_000  # a longer text is not from genbridge
MOST_LEVELS: Final = 5  # maximum depth of sentences within sentences
FEW_LETTERS: Final = 10  # a shorter sentence could come from anybody, unless a part of it is surely genbridge's
JOINT: Final = "; "
_FILE: Final = re.compile(r"([^ :]+\.[^ :]+(?::\d+)*): (.*)", re.DOTALL)  # a file and a place in it, before the reason
_PLACE: Final = re.compile(r"\{([nao]|\d?)\}")
# Chinese has no spaces between characters.
_BETWEEN: Final = re.compile("(?<=[\u4e00-\u9fff\uff09\u201d]) (?=[\u4e00-\u9fff\uff08\u201c])")


@cache
def chinese_texts() -> Mapping[str, str]:
    """The Chinese of genbridge's own reasons, by their English."""
    found: Mapping[str, str] = plain_yaml(Path(__file__).with_suffix(".yaml"))
    return found


class OwnSentence(NamedTuple):
    """A text with placeholders for values."""

    parts: tuple[str, ...]  # the words before, between and after the placeholders
    kinds: tuple[str, ...]  # the kinds of the placeholders, as in the table
    chinese: str

    @property
    def letters(self) -> int:
        return sum(char.isalpha() for part in self.parts for char in part)

    @property
    def is_weak(self) -> bool:
        """Whether a provider or receiver could have written the same text."""
        return self.letters + 2 * self.kinds.count("n") < FEW_LETTERS and not {"n", "a"}.issuperset(self.kinds)

    def values(self, text: str) -> list[str] | None:
        """The values in a text that has the form of this sentence; None for any other text."""
        first, *between, last = self.parts
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return None
        text = text[len(first) : len(text) - len(last)]
        found: list[str] = []
        for part in between:
            value, joint, text = text.partition(part)
            if not joint:
                return None
            found.append(value)
        found.append(text)
        fits = (_FITS[kind](value) for kind, value in zip(self.kinds, found, strict=True) if kind in _FITS)
        return found if all(fits) else None

    def said(self, values: list[str]) -> str:
        """The Chinese text with these values. Placeholders without a number are filled in order."""
        rest = iter(values)
        text = _PLACE.sub(lambda place: values[int(place[1])] if place[1].isdigit() else next(rest), self.chinese)
        return _BETWEEN.sub("", text)


_FITS: Final[Mapping[str, Callable[[str], bool]]] = {
    "n": str.isdecimal,
    "a": lambda value: value != "" and " " not in value.replace(", ", ","),
    "o": lambda value: value in chinese_texts(),
}


def is_own(text: str) -> bool:
    """Whether this text is genbridge's own, apart from quoted values."""
    return _read(text, MOST_LEVELS) != text or text in chinese_texts()


def in_language(text: str, language: str) -> str:
    """The text, with genbridge's own words translated into this language."""
    return _read(text, MOST_LEVELS) if language == "zh" else text


@lru_cache(4096)
def _read(text: str, levels: int) -> str:
    if not text or levels == 0 or len(text) > MOST_CHARS:
        return text
    if text in chinese_texts():
        return chinese_texts()[text]
    if (found := _FILE.fullmatch(text)) and (rest := _read(found[2], levels - 1)) != found[2]:
        return f"{found[1]}\uff1a{rest}"
    certain, doubtful = _sentences()
    said = _said_by(certain, text, levels) or _said_by(doubtful, text, levels, is_whole=True) or _joined(text, levels)
    return said or _said_by(doubtful, text, levels) or text


def _said_by(sentences: Sequence[OwnSentence], text: str, levels: int, *, is_whole: bool = False) -> str | None:
    """The text by the first sentence that fits. With `is_whole`, each value is genbridge's own, too, or a number."""
    for sentence in sentences:
        values = sentence.values(text)
        if values is not None:
            shown = [_read(value, levels - 1) for value in values]
            if is_whole and any(
                one == value and not value.isdecimal() for one, value in zip(shown, values, strict=True)
            ):
                continue
            if shown != values or not sentence.is_weak:
                return sentence.said(shown)
    return None


def _joined(text: str, levels: int) -> str | None:
    """Translate several texts that were joined, some of them genbridge's own."""
    rest, parts = text.split(JOINT), []
    while rest:
        is_pair = JOINT.join(rest[:2]) in chinese_texts()  # a text that contains the separator
        parts.append(JOINT.join(rest[: 1 + is_pair]))
        rest = rest[1 + is_pair :]
    shown = [_read_part(part, levels - 1) for part in parts] if len(parts) > 1 else parts
    return "\uff1b".join(shown) if shown != parts else None


def _read_part(part: str, levels: int) -> str:
    """Translate one of several texts that were joined. Some texts in the table contain the separator."""
    return chinese_texts()[JOINT + part].lstrip("\uff1b") if JOINT + part in chinese_texts() else _read(part, levels)


@cache
def _sentences() -> tuple[Sequence[OwnSentence], Sequence[OwnSentence]]:
    """The texts with placeholders, the longest first: those that are unmistakable by their words, then the others."""
    found = []
    for english, chinese in chinese_texts().items():
        pieces = _PLACE.split(english)
        if len(pieces) > 1:
            found.append(OwnSentence(tuple(pieces[::2]), tuple(pieces[1::2]), chinese))
    found.sort(key=lambda one: (not one.parts[0], -one.letters, -len(one.parts)))
    certain = [one for one in found if one.parts[0] or not one.is_weak]
    return certain, [one for one in found if one not in certain]
