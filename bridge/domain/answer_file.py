"""Files inside an answer, as data URLs or base64, decoded in pieces."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

DATA_URL: Final = re.compile(r"data:([^,;]{0,100})((?:;[^,;]{0,100}){0,5}),", re.IGNORECASE)
URL_SAFE: Final = str.maketrans("-_", "+/")
PIECE_CHARS: Final = 1 << 20  # characters decoded at a time; a multiple of 4

_BLANKS: Final = re.compile(r"\s+")


class AnswerFile(NamedTuple):
    """A file inside an answer, still encoded. `kind` and `place` say which item of `Snapshot.result` it is."""

    kind: str
    place: int
    text: str

    def pieces(self) -> Iterator[bytes]:
        """The content. ValueError if the text is not base64."""
        found = DATA_URL.match(self.text) if self.text[:5].lower() == "data:" else None
        if found is not None and "base64" not in found[2].lower():
            yield unquote_to_bytes(self.text[found.end() :])
            return
        begin = 0 if found is None else found.end()
        if found is not None and "%" in self.text[begin : begin + 2000]:
            yield from _decoded(unquote_to_bytes(self.text[begin:]).decode("ascii", "replace"), 0)
        else:
            yield from _decoded(self.text, begin)


def _decoded(text: str, begin: int) -> Iterator[bytes]:
    left = ""
    for start in range(begin, len(text), PIECE_CHARS):
        left += _BLANKS.sub("", text[start : start + PIECE_CHARS]).translate(URL_SAFE)
        whole = len(left.rstrip("=")) // 4 * 4
        if whole:
            yield _bytes_of(left[:whole])
            left = left[whole:]
    left = left.rstrip("=")
    if left:
        yield _bytes_of(left + "=" * (-len(left) % 4))


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
