"""Migrations of a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bridge.store
from bridge.store import open_store
from bridge.store.migrations import migrations
from bridge.store.sqlite.database import migrate, statements
from bridge.store.sqlite.inspection import APPLICATION_ID, LATEST
from tests.store.making import add

STEPS = migrations("sqlite")


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A store of version 0: before the first step."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    yield connection
    connection.close()


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_steps_are_numbered_without_gaps_and_shipped_with_the_package() -> None:
    files = sorted((Path(bridge.store.__file__).parent / "sql" / "sqlite").iterdir())
    assert [int(file.name.partition("_")[0]) for file in files] == list(range(1, LATEST + 1))
    assert STEPS[0] == files[0].read_text()


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("earlier", range(LATEST + 1))
def test_a_store_of_any_earlier_version_becomes_like_a_new_one(
    path: Path, connection: sqlite3.Connection, earlier: int
) -> None:
    migrate(connection, STEPS[:earlier])
    assert version(connection) == earlier
    store = open_store(path, create=False, group_access=False)
    assert version(connection) == LATEST
    add(store, "task-1")
    assert store.counts().live == 1
    store.close()
    fresh = path.with_name("fresh.db")
    open_store(fresh, create=True, group_access=False).close()
    other = sqlite3.connect(fresh)
    assert schema(connection) == schema(other)
    other.close()


def test_migrating_twice_changes_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection, STEPS)
    before = (schema(connection), connection.total_changes)
    migrate(connection, STEPS)
    assert (schema(connection), connection.total_changes) == before


def test_a_failed_migration_changes_nothing(connection: sqlite3.Connection) -> None:
    good, bad = "CREATE TABLE one (x);", "CREATE TABLE two (x);\nINSERT INTO missing VALUES (1);"
    with pytest.raises(sqlite3.OperationalError, match="missing"):
        migrate(connection, [good, bad])
    assert version(connection) == 0
    assert schema(connection) == []
    migrate(connection, [good, "CREATE TABLE two (x);"])
    assert version(connection) == 2


def test_statements_are_split_where_they_end_and_not_in_comments() -> None:
    script = "-- a; b\nCREATE TABLE a (\n    x TEXT -- c; d\n);\nINSERT INTO a VALUES (';\n');\n-- the end\n"
    assert [one.strip().splitlines()[-1] for one in statements(script)] == [");", "');"]


def test_processes_that_make_one_store_at_the_same_time_share_it(path: Path) -> None:
    def work(number: int) -> int:
        store = open_store(path, create=True, group_access=False)
        add(store, f"task-{number}")
        store.close()
        return number

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(work, range(16))) == list(range(16))
    store = open_store(path, create=False, group_access=False)
    assert store.counts().live == 16
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]
