"""What a follower of a store reads of what has changed."""

from __future__ import annotations

from bridge.domain.committed import newest_changes


def test_wanted_ids_come_first_then_the_newest_others_that_fit() -> None:
    assert newest_changes({7}, {3, 5, 7}, 3) == ([7, 5, 3], False)
    assert newest_changes({7}, {3, 5}, 2) == ([7, 5], True)
    assert newest_changes({7}, {9}, 1) == ([7], True)
    assert newest_changes(set(), set(), 1) == ([], False)
