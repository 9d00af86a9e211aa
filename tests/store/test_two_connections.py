"""Two connections to one store: that of a command and that of the daemon."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.domain.filters import DeliveryFilter
from bridge.errors import StoreDamaged, StoreError
from bridge.store import Store, open_store
from tests.store.making import KEY, Teller, add, due, make_end, make_note, nobody


@pytest.fixture
def command(store: Store, path: Path) -> Iterator[Store]:
    command = open_store(path, create=False, group_access=False)
    yield command
    command.close()


def test_the_daemon_notices_changes_by_commands_but_not_its_own(store: Store, command: Store) -> None:
    seen = store.news()
    add(store, "task-1")
    store.note([make_note()])
    assert store.news() == seen
    add(command, "task-2")
    later = store.news()
    assert later != seen
    _, states = store.changed(1)
    assert [state.task_id for state in states] == ["task-2"]
    assert store.news() == later


def test_a_reopened_store_reports_news(store: Store) -> None:
    seen = store.news()
    store.close()
    assert store.news() != seen


def test_each_connection_sees_what_the_other_has_committed(store: Store, command: Store) -> None:
    add(command, "task-1", "b")
    store.commit([make_end()], Teller())
    assert command.counts().waiting == 1
    command.withdraw([KEY], now=0)
    assert command.redeliver(DeliveryFilter(since=0.0)) == 1
    assert len(due(store, now=5.0)) == 1


def test_many_writers_take_turns(store: Store, path: Path) -> None:
    def write(name: str) -> None:
        other = open_store(path, create=False, group_access=False)
        for number in range(25):
            add(other, f"{name}-{number}")
        other.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for number in range(25):
        add(store, f"daemon-{number}")
    for thread in threads:
        thread.join()
    revision, states = store.changed(0)
    assert (len(states), revision) == (125, 125)
    assert sorted(state.revision for state in states) == list(range(1, 126))


def test_a_store_kept_locked_is_a_temporary_error(store: Store, path: Path) -> None:
    add(store, "task-1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    seen = store.news()
    with pytest.raises(StoreError, match="another process has kept it locked for 5 s; try again later") as caught:
        store.commit([make_end()], nobody)
    assert not isinstance(caught.value, StoreDamaged)
    assert store.counts().live == 1
    assert store.news() == seen  # the same connection still works
    other.execute("ROLLBACK")
    other.close()
    assert store.commit([make_end()], nobody) == [True]


def test_a_sync_under_way_is_seen_from_another_thread(store: Store) -> None:
    seen, is_over = threading.Event(), threading.Event()

    def watch() -> None:
        while not seen.is_set() and not is_over.is_set():
            if store.is_syncing():
                seen.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    commits = 0
    while watcher.is_alive() and commits < 2000:
        add(store, f"task-{commits}")
        commits += 1
    is_over.set()
    watcher.join()
    assert seen.is_set()
    assert not store.is_syncing()


def test_changes_are_synced_before_they_are_acknowledged(store: Store) -> None:
    with store._database.read() as session:
        assert session.find("PRAGMA synchronous") == [(2,)]
        assert session.find("PRAGMA journal_mode") == [("wal",)]
        assert session.find("PRAGMA auto_vacuum") == [(2,)]
        assert session.find("PRAGMA foreign_keys") == [(1,)]
