"""A store in PostgreSQL when server, network or operator do what they should not."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import psycopg
import pytest

from bridge.clock import SystemClock
from bridge.config.place import PostgresUrl
from bridge.domain.change import Change
from bridge.domain.ids import WatchKey
from bridge.domain.shares import slot_of
from bridge.errors import ConfigError, StoreDamaged, StoreError
from bridge.store import open_store
from bridge.store.postgres import PostgresStore, open_postgres
from bridge.store.postgres.database import LATEST, Database
from bridge.store.postgres.outbox import DUE, LANES
from bridge.store.postgres.statements import MEANT_WATCHES
from bridge.store.postgres.watches import CHANGED_STATES
from tests.factories import NOW, make_wish
from tests.postgres import own_schema, own_server
from tests.store.making import (
    KEY,
    LANE,
    Teller,
    add,
    due,
    facts,
    make_attempt,
    make_block,
    make_end,
    make_note,
    make_progress,
    nobody,
    state_of,
    whole,
)
from tests.wire import Wire, wire_to

PATIENCE_S = 0.6
COMMIT = b"COMMIT\0"  # as it stands on the wire, where "READ COMMITTED" stands as well


@pytest.fixture
def store(postgres: PostgresUrl) -> Iterator[PostgresStore]:
    store = open_postgres(postgres, create=True, clock=SystemClock())
    yield store
    store.close()


@contextmanager
def over(wire: Wire, place: PostgresUrl) -> Iterator[PostgresStore]:
    """The store, by way of a wire, and with little patience."""
    database = Database(PostgresUrl(wire.url(place.reveal())), clock=SystemClock(), patience_s=PATIENCE_S)
    database.migrate()
    store = PostgresStore(database)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def wire(postgres: PostgresUrl) -> Iterator[Wire]:
    with wire_to(postgres.reveal()) as wire:
        yield wire


def look(place: PostgresUrl, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(place.reveal()) as connection:
        return connection.execute(query).fetchall()


def until(true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def until_works(call: Callable[[], object]) -> bool:
    """Whether the call works now; a failure is one that may pass."""
    try:
        call()
    except StoreError:
        return False
    return True


class TestOpening:
    def test_a_store_is_made_only_when_it_may_be(self, postgres: PostgresUrl) -> None:
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

    def test_a_newer_store_is_refused_and_an_older_one_names_the_way_out(self, postgres: PostgresUrl) -> None:
        open_store(postgres, create=True, group_access=False).close()
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute("UPDATE genbridge_store SET version = 99")
        for create in (True, False):
            with pytest.raises(StoreDamaged, match=rf"newer genbridge \(store version 99; this one knows {LATEST}\)"):
                open_store(postgres, create=create, group_access=False)

    def test_tables_of_another_program_are_left_alone(self, postgres: PostgresUrl) -> None:
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute("CREATE TABLE events (mine text)")
        with pytest.raises(StoreDamaged, match=r'"events" already exists.*a schema of its own'):
            open_store(postgres, create=True, group_access=False)
        assert look(postgres, "SELECT to_regclass('genbridge_store') IS NULL") == [(True,)]

    def test_a_schema_that_is_not_there_is_named(self, postgres_server: str) -> None:
        place = PostgresUrl(f"{postgres_server}?options={quote('-csearch_path=nowhere')}")
        with pytest.raises(StoreDamaged, match="CREATE SCHEMA"):
            open_store(place, create=True, group_access=False)

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("postgresql://me:pa55word@127.0.0.1:1/x", r"store postgresql://me:\*\*\*@127.0.0.1:1/x: .*refused"),
            ("postgresql://me:pa55word@127.0.0.1:1,127.0.0.1:2/x", "refused"),
        ],
    )
    def test_a_server_that_is_not_there_is_named_without_password(self, url: str, said: str) -> None:
        with pytest.raises(StoreError, match=said) as caught:
            open_store(PostgresUrl(url), create=False, group_access=False)
        assert "pa55" not in str(caught.value)

    def test_a_wrong_password_is_not_repeated(self, postgres_server: str) -> None:
        wrong = PostgresUrl(postgres_server.replace("sesame-open", "pa55word"))
        with pytest.raises(StoreError, match="password authentication failed") as caught:
            open_store(wrong, create=False, group_access=False)
        assert "pa55" not in str(caught.value)

    @pytest.mark.parametrize("url", ["postgresql://me:pa55%word@db/x", "postgresql://me@db/x?pa55word=1"])
    def test_a_string_that_cannot_be_read_is_not_repeated(self, url: str) -> None:
        with pytest.raises(ConfigError, match="libpq cannot read this") as caught:
            open_store(PostgresUrl(url), create=False, group_access=False)
        assert "pa55%" not in str(caught.value)

    def test_a_missing_right_is_named(self, postgres: PostgresUrl, store: PostgresStore) -> None:
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
                add(least, "task-1")  # what docs/operations.md asks for is enough
                least.commit([make_end()], Teller())
                assert least.prune(now=NOW + 1e9, ended_s=1, delivered_s=1, dead_s=1, limit=9) == 0
                least.close()
            finally:
                owner.execute(f"DROP OWNED BY {role}")
                owner.execute(f"DROP ROLE {role}")

    def test_a_standby_is_named_and_left_for_the_primary(self, postgres: PostgresUrl, store: PostgresStore) -> None:
        url = postgres.reveal().replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
        reader = open_store(PostgresUrl(url), create=False, group_access=False)
        assert reader.counts().live == 0
        with pytest.raises(StoreError, match=r"takes no writes .*target_session_attrs=read-write"):
            add(reader, "task-1")
        reader.close()


class TestSilence:
    def test_a_black_hole_is_noticed_and_the_store_goes_on_after_it(self, postgres: PostgresUrl, wire: Wire) -> None:
        with over(wire, postgres) as store:
            add(store, "task-1")
            wire.is_black_hole = True
            begun = time.monotonic()
            with pytest.raises(StoreError):
                store.commit([make_end()], Teller())
            assert time.monotonic() - begun < 10  # PATIENCE_S for the idle connection, then a new one's time to connect
            wire.cut()
            wire.is_black_hole = False
            assert store.commit([make_end()], Teller()) == [True]
            assert len(due(store)) == 1

    def test_what_was_idle_when_all_was_given_up_fails_nothing_that_comes_later(self, postgres: PostgresUrl) -> None:
        database = Database(postgres, clock=SystemClock())
        database.migrate()
        database.give_up()  # as when a lease is lost: the daemon begins anew on the same store
        with database.read() as link:
            link.execute("SELECT pg_sleep(0.4)")
        database.close()

    def test_a_wait_is_seen_although_another_thread_is_answered_meanwhile(self, store: PostgresStore) -> None:
        assert store.busy_since() is None
        with store._database.read():  # as the ledger's thread, while the lease is renewed by its own
            waits_since = store.busy_since()
            renewal = threading.Thread(target=store.ping)
            renewal.start()
            renewal.join()
            assert store.is_syncing()
            assert store.busy_since() == waits_since
        assert store.busy_since() is None

    def test_a_server_that_works_for_long_is_waited_for_no_longer_than_a_silent_one(
        self, postgres: PostgresUrl, wire: Wire
    ) -> None:
        with over(wire, postgres) as store, psycopg.connect(postgres.reveal()) as other:
            other.execute("SELECT * FROM genbridge_store FOR UPDATE")
            begun = time.monotonic()
            with pytest.raises(StoreError, match=r"has not answered for 0\.6 s"):
                add(store, "task-1")
            assert 0.5 < time.monotonic() - begun < 5
            other.rollback()
            add(store, "task-1")

    def test_a_lock_that_somebody_keeps_is_waited_for_but_not_for_ever(
        self, postgres: PostgresUrl, store: PostgresStore
    ) -> None:
        with psycopg.connect(postgres.reveal()) as other:
            other.execute("SELECT * FROM genbridge_store FOR UPDATE")
            with pytest.raises(StoreError, match="another process has kept it locked"):
                add(store, "task-1")
            other.rollback()
            add(store, "task-1")

    def test_where_several_hosts_are_named_the_next_one_is_asked(self, postgres: PostgresUrl) -> None:
        url = postgres.reveal()
        with wire_to(url) as first, wire_to(url) as second:
            host = url.rpartition("@")[2].partition("/")[0]
            both = url.replace(host, f"127.0.0.1:{first.port},127.0.0.1:{second.port}")
            store = open_store(PostgresUrl(both + "&target_session_attrs=read-write"), create=True, group_access=False)
            add(store, "task-1")
            first.close()
            until(lambda: until_works(lambda: add(store, "task-1")))
            assert store.counts().live == 1
            store.close()


class TestLostAnswers:
    """The connection breaks while the answer to a commit is awaited. The ledger asks for the same changes again."""

    CHANGES: tuple[Change, ...] = (make_progress(50), make_end(), make_block())

    @pytest.fixture(params=["done", "not done"])
    def torn(self, request: pytest.FixtureRequest, postgres: PostgresUrl, wire: Wire) -> Iterator[PostgresStore]:
        """A store whose next commit is torn: after it has arrived at the server, or before."""
        with over(wire, postgres) as store:
            add(store, "task-1", "b")
            is_torn = threading.Event()

            def tap(data: bytes) -> bool:
                if COMMIT not in data or is_torn.is_set():
                    return True
                is_torn.set()
                if request.param == "not done":
                    return False
                wire.is_deaf = True
                return True

            wire.on_request = tap
            yield store
            assert is_torn.is_set()

    def test_what_was_done_is_found_to_be_done_and_the_rest_is_done_again(
        self, torn: PostgresStore, wire: Wire
    ) -> None:
        changes, tell = list(self.CHANGES), Teller()
        with pytest.raises(StoreError, match="whether the commit was done is not known yet"):
            torn.commit(changes, tell)
        wire.cut()
        wire.is_deaf = False
        assert torn.commit(changes[:1], tell) == [True]  # the ledger tries half of them first
        assert torn.commit(changes[1:], tell) == [True, True]
        assert torn.commit(changes, tell) == [False, False, False]  # asked a third time: as ever
        assert len({event.event_id for event in tell.events}) == 3
        assert [one.topic for one in due(torn)] == ["task_succeeded", "account_blocked"]
        assert facts(torn) == [("added", "cli"), ("running", ""), ("succeeded", "")]
        assert sum(one.count for one in torn.story(KEY).readings) == 2

    def test_what_else_is_written_before_it_is_asked_again_does_not_hide_what_became_of_it(
        self, torn: PostgresStore, wire: Wire
    ) -> None:
        changes, tell = list(self.CHANGES), Teller()
        with pytest.raises(StoreError, match="whether the commit was done is not known yet"):
            torn.commit(changes, tell)
        wire.cut()
        wire.is_deaf = False
        add(torn, "c")  # a source, meanwhile
        assert torn.commit(changes, tell) == [True] * 3
        assert [one.topic for one in due(torn)] == ["task_succeeded", "account_blocked"]

    def test_an_attempt_is_counted_once(self, postgres: PostgresUrl, wire: Wire) -> None:
        with over(wire, postgres) as store:
            add(store, "task-1")
            store.commit([make_end()], Teller())
            made = make_attempt(due(store)[0])
            wire.on_request = lambda data: COMMIT not in data
            with pytest.raises(StoreError):
                store.commit([made], nobody)
            wire.on_request = lambda data: True
            assert store.commit([made], nobody) == [True]
            [view] = store.deliveries_of(KEY)
            assert (view.state, view.attempts, len(view.made)) == ("accepted", 1, 1)

    @pytest.mark.parametrize("asked_again", [True, False])
    def test_what_was_in_doubt_is_forgotten_with_the_membership(
        self, postgres: PostgresUrl, wire: Wire, asked_again: bool
    ) -> None:
        with over(wire, postgres) as store:
            add(store, "task-1")
            store.join(name="one", scopes={}, lease_s=60)
            cutting = threading.Timer(0.1, wire.cut)

            def tap(data: bytes) -> bool:
                if COMMIT in data and not cutting.ident:
                    wire.is_deaf = True
                    cutting.start()
                return True

            wire.on_request = tap
            with pytest.raises(StoreError, match="not known yet"):
                store.commit(self.CHANGES, Teller())
            cutting.join()
            wire.is_deaf = False
            if asked_again:
                assert store.commit(self.CHANGES[:1], Teller()) == [True]
            store.join(name="one", scopes={}, lease_s=60)
            assert store.commit(self.CHANGES, Teller()) == [False] * 3  # for whoever has taken over, as ever
            assert (store._doubts, store._done) == ([], {})

    def test_while_nobody_answers_it_stays_in_doubt(self, postgres: PostgresUrl, wire: Wire) -> None:
        with over(wire, postgres) as store:
            add(store, "task-1")
            change, tell = make_end(), Teller()
            wire.on_request = lambda data: COMMIT not in data
            for _ in range(2):
                with pytest.raises(StoreError):
                    store.commit([change], tell)
            wire.on_request = lambda data: True
            assert store.commit([change], tell) == [True]
            assert len(due(store)) == 1


@pytest.mark.crash
def test_however_often_answers_are_lost_every_change_is_applied_once_and_said_to_be(
    postgres: PostgresUrl, wire: Wire
) -> None:
    chance = random.Random(7)
    torn = {"before": 0, "after": 0}

    def tap(data: bytes) -> bool:
        if COMMIT not in data or chance.random() < 0.4:
            return True
        how = chance.choice(sorted(torn))
        torn[how] += 1
        if how == "before":
            return False
        wire.is_deaf = True
        threading.Timer(0.02, mend).start()
        return True

    def mend() -> None:
        wire.cut()
        wire.is_deaf = False

    with over(wire, postgres) as store:
        wire.on_request = tap
        for number in range(20):
            keys = [WatchKey("kling", f"{number}-{place}") for place in range(3)]
            ids = [key.task_id for key in keys]
            while not until_works(partial(add, store, *ids)):
                pass
            changes = [*(make_progress(50, key) for key in keys), *(make_end(key) for key in keys)]
            answers: list[bool] = []
            tell = Teller()
            while len(answers) < len(changes):
                rest = changes[len(answers) :]
                some = rest[: chance.choice([len(rest), max(1, len(rest) // 2)])]
                try:
                    answers += store.commit(some, tell)
                except StoreError:
                    continue
            assert answers == [True] * 6
        wire.on_request = lambda data: True
        mend()
        until(lambda: until_works(store.ping))
        assert min(torn.values()) > 3
        assert len({one.event_id for one in store.list_deliveries()}) == len(store.list_deliveries()) == 120
        for view in store.list_watches():
            story = store.story(WatchKey(view.account, view.task_id))
            assert [fact.what for fact in story.history] == ["added", "running", "succeeded"]
            assert sum(reading.count for reading in story.readings) == 2


@pytest.mark.crash
def test_a_server_that_is_killed_has_lost_nothing_and_is_found_again() -> None:
    with own_server() as server, own_schema(server.url) as place:
        store = open_postgres(place, create=True, clock=SystemClock())
        for number in range(3):
            key = add(store, f"task-{number}")[0].key
            assert store.commit([make_end(key)], Teller()) == [True]
            server.stop(at_once=True)
            with pytest.raises(StoreError):
                store.counts()
            server.start()
            assert store.counts().waiting == number + 1
        store.close()


class TestListening:
    def test_what_others_write_is_heard_and_what_we_write_is_not(
        self, postgres: PostgresUrl, store: PostgresStore
    ) -> None:
        other = open_postgres(postgres, create=False, clock=SystemClock())
        store.news()
        until(lambda: store.news().work == 1)  # it listens
        add(store, "mine")
        add(other, "theirs")
        until(lambda: store.news().work == 2)
        other.withdraw([add(other, "theirs")[0].key], now=NOW)
        until(lambda: store.news().work == 3)
        other.commit([make_block()], Teller())
        until(lambda: store.news().work == 4)
        other.close()

    def test_what_others_say_on_its_channel_does_no_harm(self, postgres: PostgresUrl, store: PostgresStore) -> None:
        store.news()
        until(lambda: store.news().work == 1)
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
        until(lambda: store.news().work == 2)

    def test_after_a_lost_connection_it_listens_again_and_looks(
        self, postgres: PostgresUrl, store: PostgresStore
    ) -> None:
        store.news()
        until(lambda: store.news().work == 1)
        [(killed,)] = look(
            postgres,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%touched%' "
            "AND pid <> pg_backend_pid() AND application_name = 'genbridge'",
        )
        assert killed

        def hears() -> bool:
            try:
                return store.news().work >= 2
            except StoreError:
                return False

        until(hears)


class TestTexts:
    def test_what_the_server_would_refuse_is_kept_as_near_as_can_be(self, store: PostgresStore) -> None:
        wish = make_wish(label="a\0b", meta={"k\0": "v\0\ud800"}, action="x")
        store.add([wish], source="cli", now=NOW)
        note = make_note(detail="no\0body")
        store.note([note])
        store.commit([replace(make_end(), reason="w\0rong", note=make_end().note._replace(detail="\0"))], Teller())
        watch = whole(store)
        assert (watch.label, watch.meta, watch.reason) == ("a?b", {"k\0": "v\0\ud800"}, "w?rong")
        assert store.view(KEY).urls == ("https://cdn.example.com/v1.mp4",)


class TestMany:
    def test_no_reader_ever_misses_what_several_write_at_once(
        self, postgres: PostgresUrl, store: PostgresStore
    ) -> None:
        writers = 4

        def work(number: int) -> None:
            mine = open_postgres(postgres, create=False, clock=SystemClock())
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

    def test_slots_are_kept_with_watches_and_deliveries(self, postgres: PostgresUrl, store: PostgresStore) -> None:
        add(store, "task-1", "b")
        store.commit([make_end(), make_block()], Teller())
        watches = look(postgres, "SELECT slot FROM watches ORDER BY watch_id")
        assert watches == [(slot_of("task-1"),), (slot_of("b"),)]
        deliveries = look(postgres, "SELECT slot FROM deliveries ORDER BY watch_id")
        assert deliveries == [(slot_of("task-1"),), (slot_of("kling"),)]

    def test_the_statements_of_every_second_read_an_index(self, postgres: PostgresUrl, store: PostgresStore) -> None:
        keys = [one.key for one in add(store, *(f"task-{number}" for number in range(3000)))]
        store.commit([make_end(key) for key in keys[:2000]], Teller())
        plain = {"endpoint": LANE[0], "target": LANE[1], "now": NOW, "limit": 10, "slots": [0, 5], "apart_from": [7]}
        with psycopg.connect(postgres.reveal()) as connection:
            connection.execute("ANALYZE watches, deliveries, events")
            for query, given in (
                (LANES, {}),
                (DUE, plain),
                (CHANGED_STATES, (10**9,)),
                (MEANT_WATCHES, (["task-2500"], ["kling"], [1])),
            ):
                plan = connection.execute(f"EXPLAIN {query}", given).fetchall()
                assert not any("Seq Scan" in line for (line,) in plan), plan

    def test_a_note_of_each_watch_is_the_last_and_all_answers_are_counted(self, store: PostgresStore) -> None:
        add(store, "task-1", "b")
        notes = [make_note(memory=make_note().memory._replace(polls=poll), at=NOW + poll) for poll in range(1, 6)]
        store.note(notes)
        assert state_of(store).memory.polls == 5
        [reading] = store.story(KEY).readings
        assert (reading.count, reading.first_at, reading.last_at) == (5, NOW + 1, NOW + 5)
