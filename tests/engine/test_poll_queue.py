from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from bridge.domain.task import Phase
from bridge.domain.watch import Memory
from bridge.engine.poll_queue import BULK, PollEntry, PollQueue
from tests.factories import NOW, make_state

POLLED = Memory(phase=Phase.RUNNING, polls=3)


def put(queue: PollQueue, task_id: str, due_at: float, *, waited_s: float = 0.0, new: bool = False) -> PollEntry:
    """Add a watch that is due at `due_at`. Unless it is new, it was polled `waited_s` before that."""
    state = make_state(task_id=task_id, memory=Memory() if new else POLLED)
    entry = queue.add(state, added_at=NOW)
    if waited_s:
        entry.polled_at = due_at - waited_s
    queue.schedule(entry, due_at)
    return entry


def popped(queue: PollQueue, now: float) -> list[str]:
    found = []
    while (entry := queue.pop(now)) is not None:
        found.append(entry.task_id)
    return found


def test_watches_come_in_order_and_never_early() -> None:
    queue = PollQueue()
    instants = [NOW + number / 7 for number in range(700)]
    for number in random.Random(1).sample(range(700), 700):
        put(queue, f"t{number:03}", instants[number])
    assert popped(queue, NOW + 50) == [f"t{number:03}" for number in range(351)]
    assert popped(queue, NOW + 50) == []
    assert NOW + 50 < queue.next_at(NOW + 50) <= instants[351]
    assert len(popped(queue, NOW + 100)) == 349
    assert queue.next_at(NOW + 100) == math.inf


def test_the_last_schedule_counts_whether_it_is_earlier_or_later() -> None:
    queue = PollQueue()
    entry = put(queue, "a", NOW + 5)
    queue.schedule(entry, NOW + 90)
    assert popped(queue, NOW + 6) == []
    queue.schedule(entry, NOW + 7)
    assert popped(queue, NOW + 7) == ["a"]
    queue.schedule(entry, NOW + 200)
    assert popped(queue, NOW + 199) == []
    assert popped(queue, NOW + 200) == ["a"]


def test_a_removed_watch_is_never_returned() -> None:
    queue = PollQueue()
    for task_id in ("a", "b", "c"):
        put(queue, task_id, NOW)
    assert queue.count_due(NOW) == 3
    queue.forget("a")
    assert popped(queue, NOW) == ["b", "c"]
    put(queue, "d", NOW + 1)
    queue.clear()
    assert queue.next_at(NOW + 2) == math.inf


def test_new_watches_and_old_ones_are_served_in_turn() -> None:
    queue = PollQueue()
    for number in range(1000):
        put(queue, f"new{number:04}", NOW, new=True)
    for number in range(10):
        put(queue, f"old{number}", NOW)
    first = [entry.task_id[:3] for _ in range(20) if (entry := queue.pop(NOW))]
    assert first.count("old") == first.count("new") == 10
    put(queue, "another", NOW, new=True)
    for number in range(1000):
        put(queue, f"more{number}", NOW)
    queue.pop(NOW)
    assert len(popped(queue, NOW)) == 990 + 1000


def test_new_watches_come_from_both_ends_in_turn() -> None:
    queue = PollQueue()
    for number in range(6):
        put(queue, f"flood{number}", NOW, new=True)
    assert queue.count_due(NOW) == 6
    put(queue, "alone", NOW + 1, new=True)
    queue.forget("flood4")
    assert popped(queue, NOW + 1) == ["flood0", "alone", "flood1", "flood5", "flood2", "flood3"]


def test_new_watches_that_do_not_fit_a_batch_keep_their_place() -> None:
    queue = PollQueue()
    for task_id in ("x0", "y1", "x2", "y3", "y4"):
        put(queue, task_id, NOW, new=True)
    assert queue.count_due(NOW) == 5
    batch = queue.pop_batch(lambda entry: entry.task_id.startswith("x"), most=9, now=NOW)
    assert [entry.task_id for entry in batch] == ["x0", "x2"]
    assert popped(queue, NOW) == ["y1", "y4", "y3"]


def test_among_late_watches_those_polled_often_come_first() -> None:
    queue = PollQueue()
    put(queue, "seldom", NOW, waited_s=300)
    put(queue, "often", NOW + 10, waited_s=2)
    assert popped(queue, NOW + 20) == ["often", "seldom"]


def test_a_requested_poll_comes_first() -> None:
    queue = PollQueue()
    for number in range(10):
        put(queue, f"old{number}", NOW)
    asked_for = put(queue, "asked for", NOW + 100)
    queue.schedule_first(asked_for, NOW)
    assert popped(queue, NOW)[0] == "asked for"
    assert popped(queue, NOW + 100) == []


def test_pop_early_takes_the_next_watch_whenever_it_is_due() -> None:
    queue = PollQueue()
    put(queue, "b", NOW + 200)
    put(queue, "a", NOW + 100)
    early = [queue.pop_early(NOW), queue.pop_early(NOW), queue.pop_early(NOW)]
    assert [entry.task_id if entry else None for entry in early] == ["a", "b", None]
    put(queue, "c", NOW + 50)  # although the bucket of a later second was opened before
    assert popped(queue, NOW + 50) == ["c"]


def test_a_batch_takes_watches_that_are_due_or_at_least_half_due() -> None:
    queue = PollQueue()
    put(queue, "a first", NOW)
    put(queue, "due", NOW)
    put(queue, "ripe", NOW + 4, waited_s=10)
    put(queue, "young", NOW + 6, waited_s=10)
    put(queue, "unfit", NOW)
    assert queue.pop(NOW) is not None
    batch = queue.pop_batch(lambda entry: entry.task_id != "unfit", most=10, now=NOW)
    assert sorted(entry.task_id for entry in batch) == ["due", "ripe"]
    assert popped(queue, NOW + 10) == ["unfit", "young"]


def first_of_batch(queue: PollQueue) -> PollEntry | None:
    return next(iter(queue.pop_batch(lambda _: True, most=1, now=NOW)), None)


@pytest.mark.parametrize("take", [first_of_batch, lambda queue: queue.pop_early(NOW)])
def test_seconds_whose_watches_have_all_gone_are_skipped(take: Callable[[PollQueue], PollEntry | None]) -> None:
    queue = PollQueue()
    for number in range(3):
        put(queue, f"gone{number}", NOW + 10 * number)
        queue.forget(f"gone{number}")
    assert take(queue) is None
    kept = put(queue, "kept", NOW + 50)
    queue.schedule(kept, NOW + 60)
    kept.seen_at = NOW
    assert take(queue) is kept


def add_bulk(queue: PollQueue, count: int, revision: int, *, polled: bool = False) -> None:
    """Add `count` watches of one transaction, all due."""
    memory = POLLED if polled else Memory()
    states = [make_state(task_id=f"{revision}-{n}", revision=revision, memory=memory) for n in range(count)]
    queue.mark_bulk(states)
    for state in states:
        queue.schedule(queue.add(state, added_at=NOW), NOW)


def test_a_single_watch_does_not_wait_for_bulk_additions() -> None:
    queue = PollQueue()
    for revision in range(1, 6):
        add_bulk(queue, BULK + 1, revision)
    add_bulk(queue, 1, 6)
    for revision in range(7, 12):
        add_bulk(queue, BULK + 1, revision)
    assert "6-0" in [entry.task_id for _ in range(2) if (entry := queue.pop(NOW))]
    assert len(popped(queue, NOW)) == 10 * (BULK + 1) - 1


def test_polled_single_watches_take_turns_with_a_polled_bulk_addition() -> None:
    queue = PollQueue()
    add_bulk(queue, 5 * BULK, 1, polled=True)
    for number in range(5):
        add_bulk(queue, 1, 2 + number, polled=True)
    first = [entry.task_id for _ in range(10) if (entry := queue.pop(NOW))]
    assert sum(not task_id.startswith("1-") for task_id in first) == 5
