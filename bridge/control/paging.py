"""Cursors of lists: opaque texts that say where the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from bridge.errors import UsageError

SEARCHED: Final = "s"
TASKS: Final = "t"
DELIVERIES: Final = "d"

NOT_A_CURSOR: Final = "not a cursor of this list; use `next` of the page before, or leave it out"


def cursor_at(listing: str, *values: object) -> str | None:
    """The cursor of the page of this list that begins after the row with these values; None if the first is None."""
    return None if values[0] is None else listing + "_".join(map(str, values))


def row_before(listing: str, cursor: str | None) -> int | None:
    """The row in a cursor of a list that is sorted by row. UsageError if it is not a cursor of this list."""
    return None if cursor is None else mark_after(listing, cursor, (int,))[0]


def mark_after(listing: str, cursor: str, kinds: Sequence[Callable[[str], Any]]) -> list[Any]:
    """The values in a cursor, converted by `kinds`; the last is a row. UsageError for the cursor of another list."""
    try:
        parts = cursor.removeprefix(listing).split("_")
        values = [kind(part) for kind, part in zip(kinds, parts, strict=True)]
        is_sound = all(isinstance(one, str) or abs(one) < 1 << 63 for one in values) and values[-1] > 0
        if is_sound and cursor_at(listing, *values) == cursor:
            return values
    except ValueError:
        pass  # refused below
    raise UsageError(NOT_A_CURSOR, at="cursor")
