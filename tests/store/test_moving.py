"""Copying a whole store into another one, from each engine to each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.change import AccountAskedToWait, AnswerUnread
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.pause import PauseOf
from bridge.domain.source import SourceFacts
from bridge.domain.store_key import KeyPurpose
from bridge.errors import StoreError, UsageError
from bridge.store import Store, open_store
from bridge.store.full_store import Contents
from bridge.store.statements import TABLES
from tests.contracts.test_store_durations import VIDEO, seen
from tests.factories import NOW, make_wish
from tests.postgres import own_schema
from tests.store.making import (
    KEY,
    QUEUE,
    Teller,
    add,
    due,
    make_attempt,
    make_block,
    make_deferred,
    make_end,
    make_note,
    make_progress,
)

Make = Callable[[], Store]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["sqlite to postgres", "postgres to sqlite", "postgres to postgres"])
def ends(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: str, stack: ExitStack) -> list[Store]:
    """Two empty stores."""

    def made(engine: str, name: str) -> Store:
        place = tmp_path / name if engine == "sqlite" else stack.enter_context(own_schema(postgres_server))
        store = open_store(place, create=True, group_access=False)
        stack.callback(store.close)
        return store

    origin, _, to = request.param.split()
    return [made(origin, "from.db"), made(to, "to.db")]


def fill(store: Store) -> None:
    """Add at least one row of each kind."""
    store.disabled({"automation": "print"})
    store.sync([make_wish(task_id="listed", label="Löwe", meta={"n\0": [1, "\ud800"]})], source="watchlist", now=NOW)
    add(store, "task-1", "b", "c", "gone", now=NOW)
    store.add([], source="lines", now=NOW, cursor="inode:12")
    store.note([make_note(WatchKey("kling", "c"))])
    tell = Teller(QUEUE, ("chat", "x"))
    store.commit([make_progress(10), make_end(reason="w\0y"), make_end(WatchKey("kling", "b")), make_block()], tell)
    first, second, third = due(store)
    refused = replace(make_deferred(third, next_attempt_at=NOW + 70), outcome="refused", disables=True)
    refused = replace(refused, queue_until=NOW + 90)
    store.commit(
        [make_attempt(first), make_attempt(second, state=DeliveryState.DEAD, outcome="deferred"), refused], tell
    )
    store.commit(
        [AccountAskedToWait(account="kling", until_at=NOW + 90, route="videos/text2video", reason="503")], tell
    )
    store.commit([AnswerUnread(account="kling", word="wörd", reason="w\0y", answers=3, at=NOW)], tell)
    add(store, "task-1", again=True, now=NOW + 100)
    store.poll_now([WatchKey("kling", "c")], now=NOW + 101)
    store.withdraw([WatchKey("kling", "gone")], now=NOW + 102)
    store.learn({VIDEO: seen(60.0, 80.0)})
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW, until_at=None)
    store.prune(now=NOW + 50, ended_s=9e9, delivered_s=10, dead_s=9e9, limit=1)
    store.ensure_key(KeyPurpose.CALLBACKS, now=NOW)
    store.use_form("digest", now=NOW, kept_s=1.0)
    store.record_sources([SourceFacts(daemon="", source="queue", path="/q", is_failing=True, error="x")])


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.contents() as contents:
        return {table: list(contents.rows(table)) for table in TABLES}


def test_a_store_copy_keeps_every_row_unchanged(ends: list[Store]) -> None:
    origin, to = ends
    fill(origin)
    with origin.contents() as contents:
        counts = to.fill(contents)
    before, after = content(origin), content(to)
    assert counts == {table: len(rows) for table, rows in before.items()}
    assert all(counts.values()), counts
    assert after == before
    assert to.details(KEY) == origin.details(KEY)
    assert to.list_watches() == origin.list_watches()
    assert due(to) == due(origin)
    assert to.changed(0)[0] == origin.changed(0)[0]


def test_later_rows_get_new_ids(ends: list[Store]) -> None:
    origin, to = ends
    fill(origin)
    with origin.contents() as contents:
        to.fill(contents)
    seen = {one.delivery_id for one in to.list_deliveries()}
    revision = to.changed(0)[0]
    new = add(to, "new")[0].key
    assert to.commit([make_end(new)], Teller()) == [True]
    assert to.changed(revision)[0] == revision + 1
    assert len({one.delivery_id for one in to.list_deliveries()} - seen) == 1
    assert to.sync([], source="watchlist", now=NOW)[1] == [WatchKey("kling", "listed")]


def test_a_store_that_is_not_empty_is_not_filled(ends: list[Store]) -> None:
    origin, to = ends
    fill(origin)
    to.commit([make_block()], Teller())
    before = content(to)
    with origin.contents() as contents, pytest.raises(UsageError, match="is not empty"):
        to.fill(contents)
    assert content(to) == before


def test_an_interrupted_store_copy_writes_nothing(ends: list[Store]) -> None:
    origin, to = ends
    fill(origin)

    def torn(whole: Contents, table: str) -> Iterator[tuple[object, ...]]:
        yield from whole.rows(table)
        if table == "attempts":
            raise ZeroDivisionError

    with origin.contents() as contents, pytest.raises(ZeroDivisionError):
        to.fill(contents._replace(rows=partial(torn, contents)))
    assert not any(content(to).values())


def test_no_process_writes_to_a_store_while_it_is_copied(ends: list[Store]) -> None:
    origin, _ = ends
    place = getattr(origin, "path", None) or getattr(origin, "place", None)
    assert place is not None
    other = open_store(place, create=False, group_access=False)
    with origin.contents(), pytest.raises(StoreError, match="another process has kept it locked"):
        add(other, "task-1")
    add(other, "task-1")
    other.close()


def test_no_table_or_column_is_forgotten(tmp_path: Path, postgres: PostgresUrl) -> None:
    open_store(tmp_path / "state.db", create=True, group_access=False).close()
    connection = sqlite3.connect(tmp_path / "state.db")
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in names}
    connection.close()
    known = {table: set(columns) for table, columns in TABLES.items()}
    assert found == known | {"store": {"only_row", "revision", "settings", "base_urls"}}
    open_store(postgres, create=True, group_access=False).close()
    with psycopg.connect(postgres.reveal()) as link:
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        columns = link.execute(query).fetchall()
    assert {(table, column) for table, column in columns if table in TABLES} == {
        *((table, column) for table, columns in TABLES.items() for column in columns),
        *(("watches", "slot"), ("watches", "urls"), ("deliveries", "slot")),
    }
