"""Sizes as people write them."""

from __future__ import annotations

import re
from typing import Final

from bridge.domain.quoting import quoted

PATTERN: Final = r"^[0-9]+(\.[0-9]+)?\s?([kKMGT]i?B|B)?$"  # for the JSON Schema
MOST_BYTES: Final = 1 << 60
_SIZE: Final = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s?(?:([kKMGT])(i?)B|B)?")
_POWERS: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes of `500MB`, `2GiB`, `1.5 TB` or a plain number of bytes. ValueError for anything else, and for 0."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{quoted(text)} is not a size; write 500MB, 2GiB or a number of bytes")
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2] or ""])
    if not 0 < size <= MOST_BYTES:
        raise ValueError(f"{quoted(text)} is not between 1 byte and 1 EiB")
    return size
