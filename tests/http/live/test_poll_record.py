"""When a task was polled: each poll of this process, and before a restart the times in the store."""

from __future__ import annotations

from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.watch import Memory
from bridge.http.live.poll_record import MOST_POLLS, MOST_TASKS, PollRecord, last_polls
from bridge.store import Store
from tests.factories import NOW
from tests.store.making import KEY, add, make_end, make_note, nobody


def test_the_last_polls_of_a_task_are_kept_also_after_its_end() -> None:
    record = PollRecord()
    record.noted([make_note(at=NOW + number) for number in range(100)])
    record.committed([make_end(at=NOW + 200)])
    kept = record.of(KEY, 1)
    assert len(kept) == MOST_POLLS
    assert list(kept[-2:]) == [NOW + 99, NOW + 200]
    assert record.of(WatchKey("kling", "other"), 1) == ()


def test_a_new_generation_begins_again() -> None:
    record = PollRecord()
    record.noted([make_note(), make_note(generation=2, at=NOW + 9)])
    assert record.of(KEY, 1) == ()
    assert record.of(KEY, 2) == (NOW + 9,)


def test_the_tasks_polled_last_are_kept() -> None:
    record = PollRecord()
    for name in ("a", "b"):
        record.noted([make_note(WatchKey("kling", name))])
    record.noted(make_note(WatchKey("kling", str(number))) for number in range(MOST_TASKS - 2))
    record.noted([make_note(WatchKey("kling", "a")), make_note(WatchKey("kling", "new"))])
    assert record.of(WatchKey("kling", "b"), 1) == ()
    assert len(record.of(WatchKey("kling", "a"), 1)) == 2


def test_after_a_restart_the_store_says_when_answers_came_first_and_last(store: Store) -> None:
    add(store, "task-1")
    for poll, at in enumerate((NOW + 1, NOW + 5, NOW + 9), 1):
        store.note([make_note(memory=Memory(phase=Phase.RUNNING, polls=poll), at=at)])
    record = PollRecord()
    assert last_polls(record, store.details(KEY)) == [NOW + 1, NOW + 9]
    end = make_end(at=NOW + 12)
    store.commit([end], nobody)
    record.committed([end])
    assert last_polls(record, store.details(KEY)) == [NOW + 1, NOW + 9, NOW + 12]
