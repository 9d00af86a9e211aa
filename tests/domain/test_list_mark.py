"""Which tasks of a provider's list are new."""

from __future__ import annotations

from bridge.domain.list_mark import FUTURE_MS, OVERLAP_MS, ListedTask, ListMark

NOW_MS = 1_762_000_000_000
MARK = ListMark(newest_ms=NOW_MS, seen=frozenset({"last"}))


def task(task_id: str, *, s: float | None) -> ListedTask:
    """A task that was created this many seconds after the mark."""
    return ListedTask(task_id, None if s is None else NOW_MS + round(s * 1000))


def test_tasks_created_after_the_mark_are_new_and_earlier_ones_are_not() -> None:
    listed = [task("b", s=60), task("a", s=1), task("last", s=0), task("old", s=-3600)]
    assert MARK.new_among(listed) == ["b", "a"]


def test_a_task_that_the_list_shows_late_is_new() -> None:
    assert MARK.new_among([task("late", s=-OVERLAP_MS / 1000)]) == ["late"]
    assert MARK.new_among([task("too late", s=-OVERLAP_MS / 1000 - 1)]) == []


def test_an_unseen_task_in_the_second_of_the_newest_is_new() -> None:
    assert MARK.new_among([task("twin", s=0), task("last", s=0), task("twin", s=0)]) == ["twin"]


def test_a_task_without_a_creation_time_is_new_once() -> None:
    listed = [task("timeless", s=None)]
    assert MARK.new_among(listed) == ["timeless"]
    assert MARK.moved(listed, now_ms=NOW_MS).new_among(listed) == []


def test_the_mark_moves_to_the_newest_task_and_remembers_recent_ones() -> None:
    moved = MARK.moved([task("b", s=60), task("a", s=0), task("old", s=-3600)], now_ms=NOW_MS + 60_000)
    assert moved == ListMark(newest_ms=NOW_MS + 60_000, seen=frozenset({"b", "a"}))


def test_the_mark_never_moves_back() -> None:
    assert MARK.moved([task("old", s=-3600)], now_ms=NOW_MS) == ListMark(newest_ms=NOW_MS)
    assert MARK.moved([], now_ms=NOW_MS) == ListMark(newest_ms=NOW_MS)


def test_a_creation_time_far_in_the_future_does_not_hide_later_tasks() -> None:
    wrong = task("wrong", s=10 * 365 * 86_400)
    moved = MARK.moved([wrong], now_ms=NOW_MS)
    assert moved.newest_ms == NOW_MS + FUTURE_MS
    assert moved.new_among([wrong, task("next", s=600)]) == ["next"]


def test_reading_stops_at_an_older_task_or_without_any_times() -> None:
    assert not MARK.is_reached([task("b", s=60), task("a", s=-1)])
    assert MARK.is_reached([task("b", s=60), task("old", s=-3600)])
    assert MARK.is_reached([task("timeless", s=None)])
    assert MARK.is_reached([])
