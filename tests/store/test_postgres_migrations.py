"""Migrations of a PostgreSQL store, also while other daemons work on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from bridge.clock import SystemClock
from bridge.config.postgres_url import PostgresUrl
from bridge.domain.slots import SLOTS, Share, account_scope
from bridge.errors import StoreDamaged, StoreError
from bridge.store import Store, open_store, usable_version
from bridge.store.migrations import migrations
from bridge.store.postgres import PostgresStore
from bridge.store.postgres.database import LATEST, Database
from tests.postgres import own_schema
from tests.store.making import Teller, add, make_end
from tests.wire import wire_to

STEPS = migrations("postgres")
NEXT = "CREATE TABLE colours (colour text)"
SCOPES = {account_scope("kling"): SLOTS}
COMMIT = b"COMMIT\0"

_SCHEMA = """
    SELECT 'column', table_name || '.' || column_name, ordinal_position || data_type || is_nullable
        || coalesce(column_default, '') || coalesce(collation_name, '')
    FROM information_schema.columns WHERE table_schema = current_schema()
    UNION ALL
    SELECT 'index', indexname, replace(indexdef, current_schema() || '.', '') FROM pg_indexes
    WHERE schemaname = current_schema()
    UNION ALL
    SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'options', relname, array_to_string(reloptions, ',') FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace
    ORDER BY 1, 2, 3
"""


def database(place: PostgresUrl, steps: Sequence[str] = STEPS) -> Database:
    return Database(place, clock=SystemClock(), steps=steps)


def schema(place: PostgresUrl) -> list[tuple[str, ...]]:
    with psycopg.connect(place.reveal()) as connection:
        rows = connection.execute(_SCHEMA).fetchall()
    assert len(rows) > 100
    return rows


def migrate(place: PostgresUrl, steps: Sequence[str]) -> tuple[int, int]:
    one = database(place, steps)
    try:
        return one.migrate()
    finally:
        one.close()


@pytest.fixture
def older(postgres: PostgresUrl) -> Iterator[Store]:
    """The store of a daemon that is working on it."""
    store = open_store(postgres, create=True, group_access=False)
    yield store
    store.close()


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("earlier", range(LATEST + 1))
def test_a_store_of_any_earlier_version_becomes_like_a_new_one(
    postgres_server: str, postgres: PostgresUrl, earlier: int
) -> None:
    assert migrate(postgres, STEPS[:earlier]) == (0, earlier)
    if earlier:
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute(
                "INSERT INTO watches (account, task_id, generation, slot, phase, revision, added_at, blocked_before_s, "
                "source, meta) VALUES ('kling', 'old', 1, 0, 'submitted', 1, 0, 0, 'cli', '{}')"
            )
    store = open_store(postgres, create=True, group_access=False)
    assert usable_version(postgres) == (LATEST, LATEST)
    add(store, "new")
    assert store.counts().live == (2 if earlier else 1)
    store.join(name="one", scopes=SCOPES, lease_s=60)
    store.close()
    with own_schema(postgres_server) as fresh:
        open_store(fresh, create=True, group_access=False).close()
        assert schema(postgres) == schema(fresh)


def test_migrating_twice_changes_nothing(postgres: PostgresUrl) -> None:
    assert migrate(postgres, STEPS) == (0, LATEST)
    before = schema(postgres)
    assert migrate(postgres, STEPS) == (LATEST, LATEST)
    assert schema(postgres) == before


def test_a_failed_migration_changes_nothing(postgres: PostgresUrl) -> None:
    migrate(postgres, STEPS)
    before = schema(postgres)
    bad = "CREATE TABLE one (x int); INSERT INTO missing VALUES (1);"
    with pytest.raises(StoreError, match="missing"):
        migrate(postgres, [*STEPS, bad])
    assert schema(postgres) == before
    assert migrate(postgres, STEPS) == (LATEST, LATEST)


def test_a_member_of_an_older_version_stops_writing_and_gets_the_reason(postgres: PostgresUrl, older: Store) -> None:
    older.join(name="old", scopes=SCOPES, lease_s=60)
    older.claim([Share(account_scope("kling"), slot) for slot in range(SLOTS)])
    key = add(older, "a")[0].key
    _until(lambda: older.news().members > 0)  # it has begun to listen
    members = older.news().members
    migrate(postgres, [*STEPS, NEXT])
    _until(lambda: older.news().members > members)  # it was notified
    said = rf"newer genbridge \(store version {LATEST + 1}; this one knows {LATEST}\): upgrade"
    with pytest.raises(StoreDamaged, match=said):
        older.commit([make_end(key)], Teller())
    with pytest.raises(StoreDamaged, match=said):
        add(older, "b")
    with pytest.raises(StoreDamaged, match=said):
        older.renew(scopes=SCOPES, lease_s=60)
    with pytest.raises(StoreDamaged, match=said):
        older.join(name="old", scopes=SCOPES, lease_s=60)
    assert len(older.members()) == 1  # nobody else works on its shares until it has released them
    older.leave()
    assert older.members() == []
    newer = PostgresStore(database(postgres, [*STEPS, NEXT]))
    newer.join(name="new", scopes=SCOPES, lease_s=60)
    assert newer.counts().live == 1
    assert newer.commit([make_end(key)], Teller()) == [True]
    newer.close()


@pytest.mark.parametrize(("overtaken_at", "is_done"), [(b"INTO writers", False), (COMMIT, True)])
def test_a_write_during_a_migration_completes_before_it_or_never(
    postgres: PostgresUrl, older: Store, overtaken_at: bytes, is_done: bool
) -> None:
    with wire_to(postgres.reveal()) as wire:
        store = PostgresStore(database(PostgresUrl(wire.url(postgres.reveal()))))
        key = add(store, "a")[0].key
        migrating = threading.Thread(target=migrate, args=(postgres, [*STEPS, NEXT]))

        def tap(data: bytes) -> bool:
            if overtaken_at in data and not migrating.ident:
                migrating.start()
                migrating.join(0.5 if is_done else 20)
                assert migrating.is_alive() is is_done
            return True

        wire.on_request = tap
        if is_done:
            assert store.commit([make_end(key)], Teller()) == [True]
        else:
            with pytest.raises(StoreDamaged, match="newer genbridge"):
                store.commit([make_end(key)], Teller())
        migrating.join(10)
        store.close()
    assert older.counts().waiting == (1 if is_done else 0)


def test_a_member_waits_if_the_store_was_restored_to_an_older_state(postgres: PostgresUrl, older: Store) -> None:
    older.join(name="old", scopes=SCOPES, lease_s=60)
    with psycopg.connect(postgres.reveal()) as connection:
        connection.execute("UPDATE genbridge_store SET version = version - 1")
    with pytest.raises(StoreError, match="genbridge store migrate") as caught:
        add(older, "a")
    assert not isinstance(caught.value, StoreDamaged)


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        threading.Event().wait(0.05)
    raise AssertionError("not within 30 s")
