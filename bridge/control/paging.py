"""Cursors of lists: opaque texts that say where the next page begins."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from bridge.errors import UsageError

SEARCHED: Final = "s"
TASKS: Final = "t"
DELIVERIES: Final = "d"

MOST_CURSOR: Final = 100
NOT_A_CURSOR: Final = "cursor: not a cursor of this list; use `next` of the page before, or leave it out"

_CURSOR: Final = r"([td])([1-9][0-9]{0,17})"


def cursor_at(listing: str, before: int | None) -> str | None:
    """The cursor of the page of this list that begins before this row; None stays None."""
    return None if before is None else f"{listing}{before}"


def row_before(listing: str, cursor: str | None) -> int | None:
    """The row in a cursor of this list. UsageError if it is not such a cursor."""
    if cursor is None:
        return None
    found = re.fullmatch(_CURSOR, cursor, re.ASCII)
    if found is None or found[1] != listing:
        raise UsageError(NOT_A_CURSOR, at="cursor")
    return int(found[2])


def mark_at(listing: str, *values: object) -> str:
    """The cursor of the page of this list that begins after the row with these values."""
    return listing + "_".join(map(str, values))


def mark_after(listing: str, cursor: str | None, kinds: Sequence[Callable[[str], Any]]) -> list[Any] | None:
    """The values in such a cursor, each converted by one of `kinds`; None stays None. UsageError if it is not such a
    cursor."""
    if cursor is None:
        return None
    parts = cursor.removeprefix(listing).split("_")
    try:
        if not cursor.startswith(listing) or len(parts) != len(kinds) or len(cursor) > MOST_CURSOR:
            raise ValueError(cursor)
        values = [kind(part) for kind, part in zip(kinds, parts, strict=True)]
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise ValueError(cursor)
        if any(isinstance(value, int) and abs(value) >= 1 << 63 for value in values):
            raise ValueError(cursor)
    except ValueError:
        raise UsageError(NOT_A_CURSOR, at="cursor") from None
    return values
