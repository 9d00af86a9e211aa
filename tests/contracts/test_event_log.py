"""What every store must do, on every engine: the log of events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.committed import LoggedEvent
from bridge.domain.event import Event, Parcel
from bridge.domain.ids import WatchKey
from bridge.encoding import documented
from bridge.store import Store, StorePlace, open_follower, open_store
from bridge.store.event_log import FollowStore
from tests.postgres import own_schema
from tests.store.making import Teller, add, due, make_attempt, make_block, make_end, make_progress, nobody

SILENT = Teller(("robot", ""))  # an endpoint that does not get the documented bytes


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePlace]:
    if request.param == "sqlite":
        yield tmp_path / "state.db"
    else:
        with own_schema(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture
def opened(place: StorePlace) -> Iterator[Callable[[], Store]]:
    stores = []

    def opened() -> Store:
        stores.append(open_store(place, create=True, group_access=False))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()


@pytest.fixture
def log(place: StorePlace, store: Store) -> Iterator[FollowStore]:
    log = open_follower(place)
    yield log
    log.close()


def webhook(event: Event) -> Sequence[Parcel]:
    return [Parcel(endpoint="automation", target="", body=documented(event), is_documented=True)]


def ended(store: Store, *ids: str, at: float = 10.0, parcels_for: Callable[[Event], Sequence[Parcel]] = nobody) -> None:
    keys = [one.key for one in add(store, *ids, now=0)]
    store.commit([make_end(key, at=at) for key in keys], parcels_for)


def subjects(log: FollowStore, after: int = 0) -> list[str]:
    return [event.subject for event in log.read_events(after).events]


def test_an_event_without_endpoints_is_in_the_log_with_its_documented_bytes(store: Store, log: FollowStore) -> None:
    ended(store, "task-1")
    [event] = log.read_events(0).events
    body = json.loads(event.body or b"")
    assert (event.topic, event.account, event.subject) == ("task_succeeded", "kling", "task-1")
    assert list(body) == ["topic", "data"]
    assert (body["topic"], body["data"]["event_id"]) == ("task_succeeded", event.event_id)


@pytest.mark.parametrize("parcels_for", [webhook, SILENT, nobody])
def test_the_bytes_are_those_of_the_documented_webhook_whoever_gets_the_event(
    store: Store, log: FollowStore, parcels_for: Callable[[Event], Sequence[Parcel]]
) -> None:
    seen: list[bytes] = []

    def noting(event: Event) -> Sequence[Parcel]:
        seen.append(documented(event))
        return parcels_for(event)

    ended(store, "task-1", "b", parcels_for=noting)
    assert [event.body for event in log.read_events(0).events] == seen


def test_events_come_in_the_order_of_their_commits_with_growing_numbers(store: Store, log: FollowStore) -> None:
    add(store, *map(str, range(400)), now=0)
    for start in range(0, 400, 100):
        store.commit([make_end(WatchKey("kling", str(number))) for number in range(start, start + 100)], nobody)
    store.commit([make_block()], nobody)
    position = 0
    found: list[LoggedEvent] = []
    while events := log.read_events(position).events:
        found += events
        position = events[-1].number
    assert [event.subject for event in found] == [*map(str, range(400)), ""]
    numbers = [event.number for event in found]
    assert numbers == sorted(set(numbers))


def test_an_event_is_in_the_log_once_even_if_its_change_repeats(store: Store, log: FollowStore) -> None:
    add(store, "task-1", now=0)
    for _ in range(2):
        store.commit([make_progress(10), make_progress(10), make_end()], webhook)
    assert [event.topic for event in log.read_events(0).events] == ["task_progress", "task_succeeded"]


def test_reading_continues_where_it_ended_after_a_restart(
    place: StorePlace, opened: Callable[[], Store], store: Store, log: FollowStore
) -> None:
    ended(store, "a")
    position = log.read_events(0).position
    store.close()
    ended(opened(), "b")
    later = open_follower(place)
    assert subjects(later, position) == ["b"]
    later.close()


def test_the_newest_position_misses_nothing_that_comes(store: Store, log: FollowStore) -> None:
    assert log.newest_event() == 0
    ended(store, "a")
    newest = log.newest_event()
    assert subjects(log, newest) == []
    ended(store, "b")
    assert subjects(log, newest) == ["b"]


def test_a_page_ends_at_the_requested_position(store: Store, log: FollowStore) -> None:
    ended(store, "a", "b", "c")
    first, second, third = log.read_events(0).events
    page = log.read_again(first.number, upto=second.number)
    assert ([event.subject for event in page.events], page.position) == (["b"], second.number)
    assert log.read_again(0, upto=third.number).position == third.number


def test_a_page_holds_no_more_bytes_than_it_may(
    store: Store, log: FollowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(store, "a", "b", "c")
    whole = log.read_events(0).events
    monkeypatch.setattr("bridge.store.event_log.READ_BYTES", 1)
    page = log.read_events(0)
    assert (page.events, page.position) == (whole[:1], whole[0].number)
    assert subjects(log, page.position) == ["b"]


class TestRetention:
    def prune(self, store: Store, *, now: float, delivered_s: float = 100, dead_s: float = 900) -> int:
        return store.prune(now=now, ended_s=9e9, delivered_s=delivered_s, dead_s=dead_s, limit=500)

    def test_events_leave_the_log_and_a_position_before_them_is_gone(self, store: Store, log: FollowStore) -> None:
        ended(store, "a", at=10)
        ended(store, "b", "c", at=20)
        a, b, _ = log.read_events(0).events
        self.prune(store, now=111)
        assert log.read_events(0).is_gone
        assert not log.read_events(a.number).is_gone
        self.prune(store, now=1e9)
        assert log.read_events(a.number).is_gone
        assert subjects(log, b.number) == ["c"]  # the newest one is never deleted
        ended(store, "d", at=1e9)
        self.prune(store, now=3e9)
        assert log.read_events(b.number).is_gone

    def test_an_event_leaves_the_log_although_its_dead_delivery_is_kept(self, store: Store, log: FollowStore) -> None:
        ended(store, "a", at=10, parcels_for=webhook)
        ended(store, "b", at=20)
        self.prune(store, now=115)
        assert subjects(log, log.read_events(0).newest - 1) == ["b"]
        [delivery] = due(store)
        assert delivery.body
        store.commit([make_attempt(delivery, at=200)], nobody)
        self.prune(store, now=301)
        assert store.list_deliveries() == []

    def test_an_event_keeps_its_bytes_when_its_delivery_is_removed_first(self, store: Store, log: FollowStore) -> None:
        ended(store, "a", at=10, parcels_for=webhook)
        [before] = log.read_events(0).events
        store.commit([make_attempt(due(store)[0], at=11)], nobody)
        ended(store, "b", at=20)
        assert self.prune(store, now=112, delivered_s=100) == 1
        ended(store, "c", at=30, parcels_for=webhook)
        [delivery] = [one for one in due(store) if one.subject == "c"]
        store.commit([make_attempt(delivery, at=31)], nobody)
        assert self.prune(store, now=131.5, delivered_s=100) == 1
        last = log.read_events(log.read_events(0).newest - 1).events[0]
        assert (last.subject, json.loads(last.body or b"")["data"]["task_id"]) == ("c", "c")
        assert before.body is not None

    def test_numbers_grow_after_everything_was_forgotten(self, store: Store, log: FollowStore) -> None:
        ended(store, "a", at=10)
        newest = log.newest_event()
        self.prune(store, now=1e9)
        self.prune(store, now=2e9)
        ended(store, "b", at=10)
        assert log.newest_event() > newest

    def test_a_position_after_the_end_of_the_log_is_gone(self, store: Store, log: FollowStore) -> None:
        ended(store, "a")
        page = log.read_events(log.newest_event() + 1)
        assert page.is_gone
        ended(store, "b")
        assert subjects(log, page.position) == ["b"]


class TestOpenTransactions:
    """On PostgreSQL, where several daemons commit at the same time."""

    @pytest.fixture
    def place(self, postgres_server: str) -> Iterator[PostgresUrl]:
        with own_schema(postgres_server) as url:
            yield url

    @pytest.fixture
    def other(self, place: PostgresUrl, store: Store) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        """Another daemon's connection."""
        with psycopg.connect(place.reveal()) as connection:
            yield connection

    def insert(self, other: psycopg.Connection[tuple[object, ...]], event_id: str) -> None:
        other.execute(
            "WITH made AS (INSERT INTO events (event_id, topic, account, subject, occurred_at)"
            " VALUES (%s, 'task_succeeded', 'kling', %s, 10) RETURNING number)"
            " INSERT INTO event_bodies SELECT number, '{}' FROM made",
            (event_id, event_id),
        )

    def test_a_reader_waits_for_the_event_of_an_open_transaction(
        self, store: Store, log: FollowStore, other: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        ended(store, "a")
        self.insert(other, "slow")
        ended(store, "b", "c")
        page = log.read_events(0)
        assert ([event.subject for event in page.events], page.is_held) == (["a"], True)
        for _ in range(3):
            ended(store, f"more {log.newest_event()} {_}")
            assert log.read_events(page.position).events == ()
        other.commit()
        assert subjects(log, page.position)[:3] == ["slow", "b", "c"]

    def test_a_reader_passes_the_gap_of_a_transaction_that_was_rolled_back(
        self, store: Store, log: FollowStore, other: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        self.insert(other, "never")
        ended(store, "b")
        assert log.read_events(0).is_held
        other.rollback()
        assert subjects(log) == ["b"]

    def test_an_old_gap_does_not_delay_readers_while_others_commit(
        self, store: Store, log: FollowStore, other: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        self.insert(other, "never")
        other.rollback()
        ended(store, "b")
        assert subjects(log) == ["b"]

    def test_a_long_transaction_elsewhere_does_not_delay_readers(
        self, place: PostgresUrl, store: Store, log: FollowStore, other: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        with psycopg.connect(place.reveal()) as elsewhere:
            elsewhere.execute("SELECT pg_current_xact_id()")
            self.insert(other, "never")
            other.rollback()
            ended(store, "b")
            assert subjects(log) == ["b"]

    def test_the_newest_position_does_not_pass_an_open_transaction(
        self, store: Store, log: FollowStore, other: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        ended(store, "a")
        self.insert(other, "slow")
        ended(store, "b")
        newest = log.newest_event()
        other.commit()
        assert subjects(log, newest) == ["slow", "b"]

    @pytest.mark.usefixtures("unmeasured")
    def test_a_reader_misses_nothing_while_many_commit(
        self, opened: Callable[[], Store], store: Store, log: FollowStore, place: PostgresUrl
    ) -> None:
        def commit(writer: int) -> None:
            own = opened()
            for number in range(60):
                ended(own, f"{writer}-{number}", f"{writer}-{number}b")

        def roll_back() -> None:
            with psycopg.connect(place.reveal()) as other:
                for number in range(60):
                    self.insert(other, f"never {number}")
                    other.rollback()

        found: list[LoggedEvent] = []
        with ThreadPoolExecutor() as threads:
            writers = [threads.submit(commit, writer) for writer in range(4)]
            writers.append(threads.submit(roll_back))
            position = 0
            while not all(writer.done() for writer in writers) or not log.read_events(position).position == position:
                page = log.read_events(position)
                found += page.events
                position = page.position
        for writer in writers:
            writer.result()
        expected = sorted(f"{writer}-{number}{end}" for writer in range(4) for number in range(60) for end in ("", "b"))
        assert sorted(event.subject for event in found) == expected
        numbers = [event.number for event in found]
        assert numbers == sorted(set(numbers))
