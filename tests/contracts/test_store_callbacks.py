"""What every store must do, on every engine: `CallbackPolls`, and the facts that callbacks add to a task's story."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.callback import CallbackHeard
from bridge.domain.ids import WatchKey
from bridge.domain.store_key import KeyPurpose
from bridge.store import Store
from bridge.store.watch_rows import MOST_CALLBACKS
from tests.factories import NOW
from tests.store.making import KEY, add, make_end, make_note

HEARD = CallbackHeard(NOW, "signed: succeed")


def callbacks_of(store: Store, key: WatchKey = KEY) -> list[tuple[float, str]]:
    return [(fact.at, fact.detail) for fact in store.details(key).history if fact.what == "callback"]


def test_a_key_is_made_once_and_stays(store: Store) -> None:
    assert store.key(KeyPurpose.CALLBACKS) is None
    made = store.ensure_key(KeyPurpose.CALLBACKS, now=NOW)
    assert len(made) == 32
    assert store.ensure_key(KeyPurpose.CALLBACKS, now=NOW + 1) == made
    assert store.key(KeyPurpose.CALLBACKS) == made


def test_a_watch_that_a_callback_names_is_to_be_polled_at_once(store: Store) -> None:
    add(store, "task-1")
    store.note([make_note()])
    before = store.revision()
    assert store.poll_called({KEY: HEARD}, most=5, now=NOW + 2) == (1, [])
    _, [state] = store.changed(before)
    assert state.next_poll_at == 0
    assert callbacks_of(store) == [(NOW, "signed: succeed")]


def test_callbacks_about_other_tasks_change_nothing(store: Store) -> None:
    add(store, "task-1")
    store.commit([make_end()], lambda event: [])
    before = store.revision()
    assert store.poll_called({KEY: HEARD, WatchKey("kling", "unknown"): HEARD}, most=5, now=NOW) == (0, [])
    assert store.revision() == before
    assert callbacks_of(store) == []


def test_callbacks_poll_a_limited_number_of_watches_per_account(store: Store) -> None:
    ids = [f"task-{number}" for number in range(9)]
    add(store, *ids)
    heard = {WatchKey("kling", task_id): HEARD for task_id in ids}
    assert store.poll_called(heard, most=5, now=NOW) == (5, list(heard)[5:])


def test_the_history_has_the_callback_before_the_result_of_its_poll(store: Store) -> None:
    add(store, "task-1")
    store.note([make_note()._replace(heard=CallbackHeard(NOW, "unsigned: processing"))])
    end = make_end()
    store.commit([replace(end, note=end.note._replace(heard=HEARD))], lambda event: [])
    assert [(fact.what, fact.detail) for fact in store.details(KEY).history][-4:] == [
        ("callback", "unsigned: processing"),
        ("running", "processing"),
        ("callback", "signed: succeed"),
        ("succeeded", ""),
    ]


def test_a_watch_keeps_its_latest_callbacks_only(store: Store) -> None:
    add(store, "task-1", "b")
    for number in range(MOST_CALLBACKS + 5):
        note = make_note()
        memory = note.memory._replace(polls=number + 1)
        store.note([note._replace(memory=memory, heard=CallbackHeard(NOW + number, f"unsigned: {number}"))])
    store.poll_called({WatchKey("kling", "b"): HEARD}, most=5, now=NOW)
    found = callbacks_of(store)
    assert len(found) == MOST_CALLBACKS
    assert found[-1] == (NOW + MOST_CALLBACKS + 4, f"unsigned: {MOST_CALLBACKS + 4}")
    assert len(callbacks_of(store, WatchKey("kling", "b"))) == 1
    assert [fact.what for fact in store.details(KEY).history if fact.what != "callback"] != []
