"""A store in PostgreSQL whose server becomes silent, loses answers, or dies."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from bridge.clock import SystemClock
from bridge.config.postgres_url import PostgresUrl
from bridge.domain.change import Change
from bridge.domain.ids import WatchKey
from bridge.errors import StoreError
from bridge.store import Store, open_store
from bridge.store.postgres import PostgresStore
from bridge.store.postgres.database import Database
from tests.postgres import own_schema, own_server
from tests.stopwatch import Stopwatch
from tests.store.making import (
    KEY,
    Teller,
    add,
    due,
    facts,
    make_attempt,
    make_block,
    make_end,
    make_progress,
    nobody,
)
from tests.wire import Wire, wire_to
from tests.world import until

PATIENCE_S = 0.6
COMMIT = b"COMMIT\0"  # as it is sent; the zero byte excludes "READ COMMITTED"


@pytest.fixture
def store(postgres: PostgresUrl) -> Iterator[Store]:
    store = open_store(postgres, create=True, group_access=False)
    yield store
    store.close()


@contextmanager
def over(wire: Wire, place: PostgresUrl) -> Iterator[PostgresStore]:
    """A store that connects through this wire, with short time limits."""
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


def works(call: Callable[[], object]) -> bool:
    """Whether the call works now, without a StoreError."""
    try:
        call()
    except StoreError:
        return False
    return True


class TestSilence:
    def test_an_unresponsive_network_is_detected_and_the_store_recovers(
        self, postgres: PostgresUrl, wire: Wire
    ) -> None:
        with over(wire, postgres) as store:
            add(store, "task-1")
            wire.is_black_hole = True
            watch = Stopwatch()
            with pytest.raises(StoreError):
                store.commit([make_end()], Teller())
            assert watch.seconds < 10  # PATIENCE_S for the idle connection, then a new one's time to connect
            wire.cut()
            wire.is_black_hole = False
            assert store.commit([make_end()], Teller()) == [True]
            assert len(due(store)) == 1

    def test_a_connection_idle_at_the_give_up_does_not_fail_later_calls(self, postgres: PostgresUrl) -> None:
        database = Database(postgres, clock=SystemClock())
        database.migrate()
        database.give_up()  # as when a lease is lost and the daemon begins again on the same store
        with database.read() as session:
            assert session.execute("SELECT pg_sleep(0.4)") == 1
        database.close()

    def test_a_wait_is_visible_while_another_thread_gets_answers(self, store: Store) -> None:
        assert not store.is_syncing()
        with store._database.read():  # like the thread of the write batcher, while another thread renews the lease
            renewal = threading.Thread(target=store.revision)
            renewal.start()
            renewal.join()
            assert store.is_syncing()
        assert not store.is_syncing()

    def test_a_slow_statement_has_the_same_time_limit_as_a_silent_server(
        self, postgres: PostgresUrl, wire: Wire
    ) -> None:
        with over(wire, postgres) as store, psycopg.connect(postgres.reveal()) as other:
            other.execute("SELECT * FROM genbridge_store FOR UPDATE")
            begun_at, watch = time.monotonic(), Stopwatch()
            with pytest.raises(StoreError, match=r"gave up waiting for the server after \d"):
                add(store, "task-1")
            assert time.monotonic() - begun_at > 0.5
            assert watch.seconds < 5
            other.rollback()
            add(store, "task-1")

    def test_a_wait_for_a_lock_has_a_limit(self, postgres: PostgresUrl, store: Store) -> None:
        with psycopg.connect(postgres.reveal()) as other:
            other.execute("SELECT * FROM genbridge_store FOR UPDATE")
            with pytest.raises(StoreError, match="another process has kept it locked"):
                add(store, "task-1")
            other.rollback()
            add(store, "task-1")

    def test_with_several_hosts_the_next_one_is_tried(self, postgres: PostgresUrl) -> None:
        url = postgres.reveal()
        with wire_to(url) as first, wire_to(url) as second:
            host = url.rpartition("@")[2].partition("/")[0]
            both = url.replace(host, f"127.0.0.1:{first.port},127.0.0.1:{second.port}")
            store = open_store(PostgresUrl(both + "&target_session_attrs=read-write"), create=True, group_access=False)
            add(store, "task-1")
            first.close()
            until(lambda: works(lambda: add(store, "task-1")), seconds=10, what="the store goes on")
            assert store.counts().live == 1
            store.close()


class TestLostAnswers:
    """The connection breaks before a commit is answered. The write batcher commits the same changes again."""

    CHANGES: tuple[Change, ...] = (make_progress(50), make_end(), make_block())

    @pytest.fixture(params=["done", "not done"])
    def torn(self, request: pytest.FixtureRequest, postgres: PostgresUrl, wire: Wire) -> Iterator[PostgresStore]:
        """A store whose connection breaks during the next commit, after or before the commit arrives at the server."""
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

    def test_completed_commits_in_doubt_are_recognized_and_the_others_repeated(
        self, torn: PostgresStore, wire: Wire
    ) -> None:
        changes, tell = list(self.CHANGES), Teller()
        with pytest.raises(StoreError, match="it is not known yet whether the commit succeeded"):
            torn.commit(changes, tell)
        wire.cut()
        wire.is_deaf = False
        assert torn.commit(changes[:1], tell) == [True]  # the write batcher tries half of them first
        assert torn.commit(changes[1:], tell) == [True, True]
        assert torn.commit(changes, tell) == [False, False, False]  # the third time, they are already done
        assert len({event.event_id for event in tell.events}) == 3
        assert [one.topic for one in due(torn)] == ["task_succeeded", "account_blocked"]
        assert facts(torn) == [("added", "cli"), ("running", ""), ("succeeded", "")]
        assert sum(one.times for one in torn.details(KEY).readings) == 2

    def test_later_writes_do_not_hide_the_outcome_of_a_commit_in_doubt(self, torn: PostgresStore, wire: Wire) -> None:
        changes, tell = list(self.CHANGES), Teller()
        with pytest.raises(StoreError, match="it is not known yet whether the commit succeeded"):
            torn.commit(changes, tell)
        wire.cut()
        wire.is_deaf = False
        add(torn, "c")  # as a source does in between
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
    def test_commits_in_doubt_are_dropped_with_the_membership(
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
            assert store.commit(self.CHANGES, Teller()) == [False] * 3  # another daemon has taken over
            assert (store._doubts, store._done) == ([], {})

    def test_a_commit_stays_in_doubt_while_the_server_does_not_answer(self, postgres: PostgresUrl, wire: Wire) -> None:
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


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.crash
def test_every_change_is_applied_and_confirmed_once_however_often_answers_are_lost(
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
        threading.Timer(0.02, reconnect).start()
        return True

    def reconnect() -> None:
        wire.cut()
        wire.is_deaf = False

    with over(wire, postgres) as store:
        wire.on_request = tap
        for number in range(20):
            keys = [WatchKey("kling", f"{number}-{place}") for place in range(3)]
            ids = [key.task_id for key in keys]
            while not works(partial(add, store, *ids)):
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
        reconnect()
        until(lambda: works(store.revision), seconds=10, what="the server is found again")
        assert min(torn.values()) > 3
        assert len({one.event_id for one in store.list_deliveries()}) == len(store.list_deliveries()) == 120
        for view in store.list_watches():
            story = store.details(WatchKey(view.account, view.task_id))
            assert [fact.what for fact in story.history] == ["added", "running", "succeeded"]
            assert sum(reading.times for reading in story.readings) == 2


@pytest.mark.crash
def test_a_server_that_is_killed_has_lost_nothing_and_is_found_again() -> None:
    with own_server() as server, own_schema(server.url) as place:
        store = open_store(place, create=True, group_access=False)
        for number in range(3):
            key = add(store, f"task-{number}")[0].key
            assert store.commit([make_end(key)], Teller()) == [True]
            server.stop(at_once=True)
            with pytest.raises(StoreError):
                store.counts()
            server.start()
            assert store.counts().waiting == number + 1
        store.close()
