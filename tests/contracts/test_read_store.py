"""A reader of a store to which others write: it neither waits for them nor delays them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.pause import PauseOf
from bridge.errors import StoreError
from bridge.store import ReadStore, Store, StorePlace, open_reader, open_store
from tests.factories import NOW
from tests.postgres import wipe
from tests.store.making import KEY, Teller, add, make_block, make_end


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    if request.param == "file":
        return tmp_path / "state.db"
    postgres: PostgresUrl = request.getfixturevalue("kept_postgres")
    wipe(postgres)
    return postgres


@pytest.fixture
def store(place: StorePlace) -> Iterator[Store]:
    store = open_store(place, create=True, group_access=False)
    yield store
    store.close()


@pytest.fixture
def reader(place: StorePlace, store: Store) -> Iterator[ReadStore]:
    reader = open_reader(place)
    yield reader
    reader.close()


def test_a_reader_sees_what_has_been_committed(store: Store, reader: ReadStore) -> None:
    assert reader.list_watches() == []
    add(store, "task-1", "b")
    store.commit([make_end(), make_block()], Teller())
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW, until_at=None)
    for question in QUESTIONS.values():
        assert question(reader) == question(store)
    assert [view.task_id for view in reader.list_watches()] == ["b", "task-1"]
    assert reader.counts().waiting == 2
    assert reader.accounts()["kling"].blocked_at == NOW


QUESTIONS: dict[str, Callable[[ReadStore], object]] = {
    "list_watches": lambda store: store.list_watches(WatchFilter(account="kling", text="task"), limit=1),
    "find": lambda store: store.find("task-1"),
    "view": lambda store: store.view(KEY),
    "details": lambda store: store.details(KEY),
    "count_due": lambda store: store.count_due("kling", NOW),
    "list_deliveries": lambda store: store.list_deliveries(DeliveryFilter(watch=KEY), limit=9, attempts=True),
    "deliveries_of": lambda store: store.deliveries_of(KEY),
    "counts": lambda store: store.counts(),
    "unreadable": lambda store: store.unreadable(),
    "unchecked": lambda store: store.unchecked(since=0.0),
    "failing_polls": lambda store: store.failing_polls(least=3),
    "queue_waits": lambda store: store.queue_waits(),
    "failing_endpoints": lambda store: store.failing_endpoints(),
    "accounts": lambda store: store.accounts(),
    "pauses": lambda store: store.pauses(),
    "sources": lambda store: store.sources(),
    "durations": lambda store: store.durations(),
    "members": lambda store: store.members(),
    "revision": lambda store: store.revision(),
    "is_shared": lambda store: store.is_shared,
}


def test_a_long_query_does_not_delay_a_commit(store: Store, reader: ReadStore) -> None:
    add(store, "task-1")
    with reader._database.read() as question:
        assert question.find("SELECT count(*) FROM watches") == [(1,)]
        assert store.commit([make_end()], Teller()) == [True]
        add(store, "b")
        assert question.find("SELECT count(*) FROM watches") == [(1,)]
    assert reader.counts().live == 1


def test_a_query_does_not_wait_for_a_commit_in_progress(store: Store, reader: ReadStore) -> None:
    add(store, "task-1")
    counted: list[int] = []
    with store._database.write() as session:
        session.lock_store()
        session.execute("UPDATE watches SET polls = 7")
        asking = threading.Thread(target=lambda: counted.append(reader.view(KEY).polls))
        asking.start()
        asking.join(10)
    assert counted == [0]
    assert reader.view(KEY).polls == 7


def test_a_reader_writes_nothing(store: Store, reader: ReadStore) -> None:
    add(store, "task-1")
    with pytest.raises(StoreError), reader._database.read() as session:
        session.execute("DELETE FROM watches")
    assert reader.view(WatchKey("kling", "task-1")).polls == 0


def test_a_reader_creates_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        open_reader(tmp_path / "state.db")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_creates_no_store_in_postgresql(postgres: PostgresUrl) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        open_reader(postgres)


def test_a_reader_is_notified_of_changes(store: Store, reader: ReadStore) -> None:
    known = reader.news()
    add(store, "task-1")
    for _ in range(100):
        if reader.news() != known:
            break
        threading.Event().wait(0.1)
    assert reader.news() != known
