"""Cursors: the next request accepts the cursor of a page; everything else is refused."""

from __future__ import annotations

import pytest

from bridge.control.paging import DELIVERIES, TASKS, cursor_at, row_before
from bridge.errors import UsageError


@pytest.mark.parametrize("listing", [TASKS, DELIVERIES])
def test_a_cursor_leads_to_the_row_that_it_was_made_of(listing: str) -> None:
    assert row_before(listing, cursor_at(listing, 17)) == 17
    assert row_before(listing, cursor_at(listing, None)) is None


@pytest.mark.parametrize(
    "cursor", ["", "t", "17", "t0", "t-1", "t1 ", "t\u0661", "t" + "9" * 40, cursor_at(DELIVERIES, 17)]
)
def test_a_text_that_is_no_cursor_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError, match="not a cursor of this list"):
        row_before(TASKS, cursor)
