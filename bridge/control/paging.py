"""Cursors of listings: opaque texts that say where the next page begins."""

from __future__ import annotations

import re
from typing import Final

from bridge.errors import UsageError

TASKS: Final = "t"
DELIVERIES: Final = "d"

_CURSOR: Final = r"([td])([1-9][0-9]{0,17})"


def cursor_at(listing: str, before: int | None) -> str | None:
    """The cursor of the page of this listing that begins before this row; None stays None."""
    return None if before is None else f"{listing}{before}"


def row_before(listing: str, cursor: str | None) -> int | None:
    """The row that a cursor of this listing names. UsageError when it is not such a cursor."""
    if cursor is None:
        return None
    found = re.fullmatch(_CURSOR, cursor, re.ASCII)
    if found is None or found[1] != listing:
        raise UsageError("cursor: not a cursor of this list; use `next` of the page before, or leave it out")
    return int(found[2])
