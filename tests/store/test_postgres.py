"""A store in PostgreSQL after mistakes of operators and others, and the features of this engine only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

import psycopg
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.slots import slot_of
from bridge.errors import ConfigError, StoreDamaged, StoreError
from bridge.store import Store, open_store, usable_version
from bridge.store.postgres.database import LATEST
from bridge.store.postgres.sql_session import PostgresSession, arrays, plain_sql
from bridge.store.statements import SQL
from tests.factories import NOW, make_wish
from tests.store.making import (
    KEY,
    QUEUE,
    Teller,
    add,
    make_block,
    make_end,
    make_note,
    state_of,
    whole,
)
from tests.world import until


@pytest.fixture
def store(postgres: PostgresUrl) -> Iterator[Store]:
    store = open_store(postgres, create=True, group_access=False)
    yield store
    store.close()


def look(place: PostgresUrl, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(place.reveal()) as connection:
        return connection.execute(query).fetchall()


class TestOpening:
    def test_a_store_is_created_only_when_allowed(self, postgres: PostgresUrl) -> None:
        with pytest.raises(StoreError, match="there is no store in postgresql://genbridge:") as caught:
            open_store(postgres, create=False, group_access=False)
        assert "sesame" not in str(caught.value)
        open_store(postgres, create=True, group_access=False).close()
        store = open_store(postgres, create=False, group_access=False)
        assert store.counts().live == 0
        store.close()

    def test_processes_that_make_one_store_at_the_same_time_share_it(self, postgres: PostgresUrl) -> None:
        def work(number: int) -> None:
            store = open_store(postgres, create=True, group_access=False)
            add(store, f"task-{number}")
            store.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(16)))
        store = open_store(postgres, create=False, group_access=False)
        assert store.counts().live == 16
        assert store.changed(0)[0] == 16
        store.close()
        assert look(postgres, "SELECT * FROM writers") == []

    def test_a_newer_store_is_refused_and_an_older_one_names_the_upgrade(self, postgres: PostgresUrl) -> None:
        open_store(postgres, create=True, group_access=False).close()
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute("UPDATE genbridge_store SET version = 99")
        for create in (True, False):
            with pytest.raises(StoreDamaged, match=rf"newer genbridge \(store version 99; this one knows {LATEST}\)"):
                open_store(postgres, create=create, group_access=False)

    def test_tables_of_another_program_are_unchanged(self, postgres: PostgresUrl) -> None:
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute("CREATE TABLE events (mine text)")
        with pytest.raises(StoreDamaged, match=r'"events" already exists.*a schema of its own'):
            open_store(postgres, create=True, group_access=False)
        assert look(postgres, "SELECT to_regclass('genbridge_store') IS NULL") == [(True,)]

    def test_a_schema_that_is_not_there_is_named(self, postgres_server: str) -> None:
        place = PostgresUrl(f"{postgres_server}?options={quote('-csearch_path=nowhere')}")
        with pytest.raises(StoreDamaged, match="CREATE SCHEMA"):
            open_store(place, create=True, group_access=False)

    def test_a_schema_with_a_quoted_name_works_and_missing_rights_are_named(self, postgres_server: str) -> None:
        schema, role = f"Sch-é {os.urandom(4).hex()}", f"r_{os.urandom(4).hex()}"
        option = quote(f'-csearch_path="{schema}"'.replace(" ", r"\ "))
        place = PostgresUrl(f"{postgres_server}?options={option}")
        other = PostgresUrl(place.reveal().replace("genbridge:sesame-open", f"{role}:open-sesame"))
        with psycopg.connect(postgres_server, autocommit=True) as owner:
            owner.execute(f'CREATE SCHEMA "{schema}"')
            owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'open-sesame'")
            try:
                open_store(place, create=True, group_access=False).close()
                assert usable_version(place) == (LATEST, LATEST)
                with pytest.raises(StoreDamaged, match=r"no schema .* for this user; .*GRANT USAGE, CREATE ON SCHEMA"):
                    usable_version(other)
                owner.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO {role}')
                owner.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO {role}')
                with pytest.raises(StoreDamaged, match=rf'ON ALL TABLES IN SCHEMA "{schema}" TO'):
                    usable_version(other)
            finally:
                owner.execute(f'DROP SCHEMA "{schema}" CASCADE')
                owner.execute(f"DROP ROLE {role}")

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            (
                "postgresql://me:pa55word@127.0.0.1:1/x",
                r"^store postgresql://me:\*\*\*@127.0.0.1:1/x: connection to server at \S+ port 1 failed: .*refused",
            ),
            ("postgresql://me:pa55word@127.0.0.1:1,127.0.0.1:2/x", "refused; Is the server.*port 1 failed: .*refused$"),
        ],
    )
    def test_a_server_that_is_not_there_is_named_without_password(self, url: str, said: str) -> None:
        with pytest.raises(StoreError, match=said) as caught:
            open_store(PostgresUrl(url), create=False, group_access=False)
        assert "pa55" not in str(caught.value)

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (
                ("sesame-open", "pa55word"),
                'password authentication failed for user "genbridge"; check user and password',
            ),
            ((":sesame-open", ""), "no password supplied; check user and password"),
            (("/postgres", "/pa55"), 'database "pa55" does not exist; create it, or name another one$'),
        ],
    )
    def test_a_refused_connection_is_explained_once(
        self, postgres_server: str, wrong: tuple[str, str], said: str
    ) -> None:
        with pytest.raises(StoreError, match=said) as caught:
            open_store(PostgresUrl(postgres_server.replace(*wrong)), create=False, group_access=False)
        assert "pa55word" not in str(caught.value)
        assert str(caught.value).count("FATAL") <= 1

    @pytest.mark.parametrize("url", ["postgresql://me:pa55%word@db/x", "postgresql://me@db/x?pa55word=1"])
    def test_an_unreadable_connection_string_is_not_printed(self, url: str) -> None:
        with pytest.raises(ConfigError, match="libpq cannot read this; check the parameter names") as caught:
            open_store(PostgresUrl(url), create=False, group_access=False)
        assert "pa55%" not in str(caught.value)

    def test_a_missing_right_is_named(self, postgres: PostgresUrl, store: Store) -> None:
        role = f"r_{os.urandom(4).hex()}"
        [(schema,)] = look(postgres, "SELECT current_schema()")
        place = PostgresUrl(postgres.reveal().replace("genbridge:sesame-open", f"{role}:open-sesame"))
        with psycopg.connect(postgres.reveal(), autocommit=True) as owner:
            owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'open-sesame'")
            try:
                owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
                with pytest.raises(StoreDamaged, match=r"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"):
                    open_store(place, create=False, group_access=False)
                owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}")
                least = open_store(place, create=False, group_access=False)
                add(least, "task-1")  # the rights in docs/operations.md are enough
                least.commit([make_end()], Teller())
                assert least.prune(now=NOW + 1e9, ended_s=1, delivered_s=1, dead_s=1, limit=9) == 0
                owner.execute(f"ALTER TABLE {schema}.watches ENABLE ROW LEVEL SECURITY")
                with pytest.raises(StoreDamaged, match=r'policy for table "watches"; .*DISABLE ROW LEVEL SECURITY'):
                    add(least, "task-2")
                least.close()
                with pytest.raises(StoreDamaged, match=r"hide rows of table watches; .*DISABLE ROW LEVEL SECURITY"):
                    usable_version(place)
            finally:
                owner.execute(f"DROP OWNED BY {role}")
                owner.execute(f"DROP ROLE {role}")

    def test_a_pooler_that_changes_connections_is_named(self, store: Store) -> None:
        def repeat() -> None:
            with store._database.read() as session:
                for _ in range(8):  # until psycopg has prepared the statement
                    session.find("SELECT 1")
                assert isinstance(session, PostgresSession)
                session.connection.pgconn.exec_(b"DEALLOCATE ALL")
                session.find("SELECT 1")

        with pytest.raises(StoreError, match=r"use session pooling$"):
            repeat()
        assert store.counts().live == 0

    def test_a_standby_is_reported_and_replaced_by_the_primary(self, postgres: PostgresUrl, store: Store) -> None:
        url = postgres.reveal().replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
        reader = open_store(PostgresUrl(url), create=False, group_access=False)
        assert reader.counts().live == 0
        with pytest.raises(StoreError, match=r"accepts no writes .*target_session_attrs=read-write"):
            add(reader, "task-1")
        reader.close()


class TestListening:
    def test_changes_of_others_are_noticed_and_own_changes_are_not(self, postgres: PostgresUrl, store: Store) -> None:
        other = open_store(postgres, create=False, group_access=False)
        store.news()
        until(lambda: store.news().work == 1, seconds=10, what="it listens")
        add(store, "mine")
        add(other, "theirs")
        until(lambda: store.news().work == 2, seconds=10, what="it hears")
        other.withdraw([add(other, "theirs")[0].key], now=NOW)
        until(lambda: store.news().work == 3, seconds=10, what="it hears")
        other.commit([make_block()], Teller())
        until(lambda: store.news().work == 4, seconds=10, what="it hears")
        other.close()

    def test_notifications_of_other_programs_on_the_channel_are_ignored(
        self, postgres: PostgresUrl, store: Store
    ) -> None:
        store.news()
        until(lambda: store.news().work == 1, seconds=10, what="it hears")
        [(schema,)] = look(postgres, "SELECT current_schema()")
        with psycopg.connect(postgres.reveal(), autocommit=True) as other:
            for payload in (
                "",
                "hello",
                "a b",
                f"{schema} x y",
                f"{schema} somebody work work",
                "\u4e00 \u4e8c \u4e09",
            ):
                other.execute("SELECT pg_notify('genbridge', %s)", (payload,))
            other.execute("SELECT pg_notify('genbridge', current_schema() || ' somebody work')")
        until(lambda: store.news().work == 2, seconds=10, what="it hears")

    def test_after_a_lost_connection_the_listener_reads_what_it_missed(self, postgres: PostgresUrl) -> None:
        name = f"cut off {os.getpid()}"  # other tests have connections to this server, too
        place = PostgresUrl(f"{postgres.reveal()}&application_name={quote(name)}")
        store = open_store(place, create=True, group_access=False)
        store.news()
        until(lambda: store.news().work == 1, seconds=10, what="it hears")
        [(killed,)] = look(
            postgres,
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{name}'",
        )
        assert killed

        def hears() -> bool:
            try:
                return store.news().work >= 2
            except StoreError:
                return False

        until(hears, seconds=10, what="it hears")
        store.close()


class TestTexts:
    def test_values_that_the_server_would_refuse_are_stored_as_similar_ones(self, store: Store) -> None:
        wish = make_wish(label="a\0b", meta={"k\0": "v\0\ud800"}, action="x")
        store.add([wish], source="cli", now=NOW)
        note = make_note(detail="no\0body")
        store.note([note])
        store.commit([replace(make_end(), reason="w\0rong", note=make_end().note._replace(detail="\0"))], Teller())
        watch = whole(store)
        assert (watch.label, watch.meta, watch.reason) == ("a?b", {"k\0": "v\0\ud800"}, "w?rong")
        assert store.view(KEY).urls == ("https://cdn.example.com/v1.mp4",)


class TestMany:
    def test_no_reader_misses_concurrent_writes(self, postgres: PostgresUrl, store: Store) -> None:
        writers = 4

        def work(number: int) -> None:
            mine = open_store(postgres, create=False, group_access=False)
            for place in range(10):
                add(mine, *(f"{number}-{place}-{one}" for one in range(3)))
            mine.close()

        with ThreadPoolExecutor(writers) as pool:
            done = [pool.submit(work, number) for number in range(writers)]
            revision, seen = 0, set()
            while True:
                was_over = all(one.done() for one in done)
                revision, states = store.changed(revision)
                seen |= {state.task_id for state in states}
                if was_over:
                    break
        assert [one.result() for one in done] == [None] * writers
        assert len(seen) == writers * 30

    def test_slots_are_kept_with_watches_and_deliveries(self, postgres: PostgresUrl, store: Store) -> None:
        add(store, "task-1", "b")
        store.commit([make_end(), make_block()], Teller())
        watches = look(postgres, "SELECT slot FROM watches ORDER BY watch_id")
        assert watches == [(slot_of("task-1"),), (slot_of("b"),)]
        deliveries = look(postgres, "SELECT slot FROM deliveries ORDER BY watch_id")
        assert deliveries == [(slot_of("task-1"),), (slot_of("kling"),)]

    def test_the_statements_of_every_second_read_an_index(self, postgres: PostgresUrl, store: Store) -> None:
        keys = [one.key for one in add(store, *(f"task-{number}" for number in range(3000)))]
        store.commit([make_end(key) for key in keys[:2000]], Teller())
        plain = {"endpoint": QUEUE[0], "target": QUEUE[1], "now": NOW, "limit": 10, "slots": [0, 5], "apart_from": [7]}
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute("ANALYZE watches, deliveries, events, history, event_bodies")
            for query, given in (
                (plain_sql(SQL["outbox.queues"]), {}),
                (plain_sql(SQL["outbox.due"]), plain),
                (plain_sql(SQL["watches.changed_states"]), {"since": 10**9}),
                (plain_sql(SQL["log.logged"]), {"after": 10, "upto": 20, "limit": 10}),
                (plain_sql(SQL["log.touched"]), {"revision": 10**9, "most": 10}),
                (plain_sql(SQL["log.facts"]), {"fact": 10**9, "most": 10}),
                (plain_sql(SQL["log.created"]), {"delivery": 10**9, "most": 10}),
                (plain_sql(SQL["log.settled"]), {"state": "accepted", "since": 1e12, "most": 10}),
                (plain_sql(SQL["commits.meant"]), arrays(SQL["commits.meant"], [("task-2500", "kling", 1)])),
            ):
                plan = connection.execute(f"EXPLAIN {query}", given).fetchall()
                assert not any("Seq Scan" in line for (line,) in plan), plan

    def test_each_watch_keeps_its_last_note_and_all_answers_count(self, store: Store) -> None:
        add(store, "task-1", "b")
        notes = [make_note(memory=make_note().memory._replace(polls=poll), at=NOW + poll) for poll in range(1, 6)]
        store.note(notes)
        assert state_of(store).memory.polls == 5
        [reading] = store.details(KEY).readings
        assert (reading.times, reading.first_at, reading.last_at) == (5, NOW + 1, NOW + 5)
