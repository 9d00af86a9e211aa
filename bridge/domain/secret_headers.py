"""Which parts of the headers in the settings are secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SCHEMES: Final = "bearer|token|basic|key"  # of Authorization, in lower case
_SECRET_NAME: Final = re.compile(
    r"auth|token|key|secret|cookie|pass|credential|session|signature|csrf|xsrf", re.IGNORECASE
)
_PIECES: Final = re.compile(r"[-_./:=+(){}\"]+")
_LONG: Final = 20  # characters: a piece this long looks random
_MIXED: Final = 8  # so does a piece this long with letters and digits
_WHOLE: Final = 16  # and a word this long with `_MANY` digits and `_MANY` letters, or with a digit and both cases
_MANY: Final = 4


def is_secret_header(name: str) -> bool:
    """Whether a header with this name usually carries a secret."""
    return _SECRET_NAME.search(name) is not None


def header_secrets(headers: Mapping[str, str]) -> set[str]:
    """The texts in these headers that must not be shown. Of a secret header, these are the value and its words, without
    the scheme. Of other headers, they are the words that look random, such as keys."""
    found: set[str] = set()
    for name, value in headers.items():
        words = {word for word in re.split(r"[\s;,]+", value) if not re.fullmatch(SCHEMES, word, re.IGNORECASE)}
        found |= {value, *words} if is_secret_header(name) else {word for word in words if _looks_random(word)}
    return found


def _looks_random(word: str) -> bool:
    pieces = _PIECES.split(word)
    digits, letters = sum(map(str.isdigit, word)), sum(map(str.isalpha, word))
    has_both_cases = word.lower() != word != word.upper()
    return (
        any(len(one) >= _LONG for one in pieces)
        or any(len(one) >= _MIXED and re.search(r"\d", one) and re.search(r"[^\d\W]", one) for one in pieces)
        or (len(word) >= _WHOLE and min(digits, letters) >= _MANY)
        or (len(word) >= _WHOLE and digits > 0 and has_both_cases)
    )
