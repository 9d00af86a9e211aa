"""What a member of a PostgreSQL store sees and may do: its own part, and only while its lease lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import psycopg
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.delivery import Delivery
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Event, Parcel
from bridge.domain.slots import SLOTS, Share, account_scope, endpoint_scope, slot_of
from bridge.domain.task import Phase
from bridge.errors import LeaseLost, StoreError
from bridge.ports import News
from bridge.store import Store, open_store
from tests.factories import NOW, make_wish
from tests.postgres import own_schema, wipe
from tests.store.making import QUEUE, Teller, add, due, make_attempt, make_deferred, make_end
from tests.wire import wire_to

T = TypeVar("T")

KLING, HOOK = account_scope("kling"), endpoint_scope("hook")
SCOPES = {KLING: 16, HOOK: 16}
EVEN = [Share(KLING, slot) for slot in range(0, SLOTS, 2)]
IDS = [f"task-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def place(postgres_server: str) -> Iterator[PostgresUrl]:
    with own_schema(postgres_server) as place:
        open_store(place, create=True, group_access=False).close()
        yield place


@pytest.fixture
def stores(place: PostgresUrl) -> Iterator[list[Store]]:
    wipe(place)
    stores = [open_store(place, create=False, group_access=False) for _ in range(2)]
    yield stores
    for store in stores:
        store.close()


def ids(store: Store, since: int = 0) -> set[str]:
    return {state.task_id for state in store.changed(since)[1]}


def test_a_member_reads_only_the_watches_that_it_holds(stores: list[Store]) -> None:
    one, other = stores
    for task_id in IDS:
        add(other, task_id)
    assert ids(one) == set(IDS)
    one.join(name="one", scopes=SCOPES, lease_s=60)
    assert ids(one) == set()
    one.claim(EVEN)
    held = {task_id for task_id in IDS if slot_of(task_id) % 2 == 0}
    assert ids(one) == held
    assert ids(one, since=1) == {task_id for task_id in held if task_id != IDS[0]}
    one.release(EVEN)
    assert ids(one) == set()


def test_a_member_delivers_only_what_it_holds(stores: list[Store]) -> None:
    one, other = stores
    other.join(name="other", scopes=SCOPES, lease_s=60)
    keys = [add(other, task_id)[0].key for task_id in IDS]
    other.commit([make_end(key) for key in keys], Teller())
    (endpoint, target), *_ = other.queues()
    one.join(name="one", scopes=SCOPES, lease_s=60)
    assert one.due(endpoint, target, now=NOW, limit=100) == ([], None)
    one.claim([Share(endpoint_scope(endpoint), slot) for slot in range(0, SLOTS, 2)])
    due, _ = one.due(endpoint, target, now=NOW, limit=100)
    assert {delivery.subject for delivery in due} == {task_id for task_id in IDS if slot_of(task_id) % 2 == 0}


def test_a_member_that_lost_its_lease_commits_nothing(stores: list[Store]) -> None:
    late, other = stores
    late.join(name="late", scopes=SCOPES, lease_s=0.2)
    key = add(late, "a")[0].key
    time.sleep(0.4)
    with pytest.raises(LeaseLost):
        late.commit([make_end(key)], Teller())
    with pytest.raises(LeaseLost):
        late.note([make_end(key, phase=Phase.RUNNING).note])
    assert other.find("a", None)[0].ended_at is None
    other.join(name="other", scopes=SCOPES, lease_s=60)
    assert other.commit([make_end(key)], Teller()) == [True]


def test_a_lease_from_before_the_servers_clock_was_set_back_is_over(place: PostgresUrl, stores: list[Store]) -> None:
    dead, other = stores
    dead.join(name="dead", scopes=SCOPES, lease_s=60)
    dead.claim(EVEN)
    with psycopg.connect(place.reveal(), autocommit=True) as connection:
        connection.execute("UPDATE members SET lease_until = lease_until + interval '3 hours'")
    me = other.join(name="other", scopes=SCOPES, lease_s=60)
    roster = other.renew(scopes=SCOPES, lease_s=60)
    assert (set(roster.members), roster.holders) == ({me}, {})


def test_daemons_with_different_settings_do_not_enable_what_the_other_disables(stores: list[Store]) -> None:
    one, other = stores
    endpoint, now = QUEUE[0], NOW

    def refused() -> None:
        made = replace(make_attempt(due(one)[0], state=DeliveryState.WAITING, outcome="refused"), at=now)
        one.commit([replace(made, next_attempt_at=NOW, disables=True, queue_until=NOW + 300)], Teller())

    assert one.disabled({endpoint: "old"}) == other.disabled({endpoint: "other"}) == {}
    one.commit([make_end(add(one, "a")[0].key)], Teller())
    refused()
    for _ in range(2):
        assert list(other.queue_wait_ends({endpoint: "other"})) == [QUEUE]
        assert list(other.disabled({endpoint: "other"})) == [endpoint]
    assert other.queue_wait_ends({endpoint: "new"}) == {}
    assert other.disabled({endpoint: "new"}) == {}
    assert one.disabled({endpoint: "old"}) == {}
    now += 1
    refused()
    assert list(other.disabled({endpoint: "new"})) == [endpoint]


@pytest.mark.long
def test_no_member_is_removed_during_its_commit(stores: list[Store]) -> None:
    busy, other = stores
    lease_s = 6.0  # a commit may be silent for a quarter of it, and half a second is too short on a busy machine
    busy.join(name="busy", scopes=SCOPES, lease_s=lease_s)
    ends_at = time.monotonic() + lease_s
    busy.claim(EVEN)
    other.join(name="other", scopes=SCOPES, lease_s=60)
    key = add(busy, "a")[0].key
    committing, go_on = threading.Event(), threading.Event()

    class Slow(Teller):
        def __call__(self, event):  # type: ignore[no-untyped-def]
            committing.set()
            go_on.wait(10)
            return super().__call__(event)

    thread = threading.Thread(target=busy.commit, args=([make_end(key)], Slow()))
    time.sleep(ends_at - 0.8 - time.monotonic())
    thread.start()
    committing.wait(10)
    time.sleep(ends_at + 0.1 - time.monotonic())
    assert len(other.renew(scopes=SCOPES, lease_s=60).members) == 2  # it stays a member until the commit is over
    go_on.set()
    thread.join(10)
    assert len(other.renew(scopes=SCOPES, lease_s=60).members) == 1
    assert other.find("a", None)[0].ended_at is not None


def test_a_member_that_stops_during_a_commit_does_not_block_others(stores: list[Store]) -> None:
    silent, other = stores
    silent.join(name="silent", scopes=SCOPES, lease_s=1)
    other.join(name="other", scopes=SCOPES, lease_s=60)
    key = add(silent, "a")[0].key

    class Silent(Teller):
        def __call__(self, event):  # type: ignore[no-untyped-def]
            time.sleep(1.5)  # as if it was stopped or had lost its network
            assert len(other.renew(scopes=SCOPES, lease_s=60).members) == 1
            return super().__call__(event)

    with pytest.raises(StoreError):
        silent.commit([make_end(key)], Silent())
    assert other.find("a", None)[0].ended_at is None


def test_members_are_notified_of_their_deliveries_and_of_new_members(stores: list[Store]) -> None:
    one, other = stores
    one.join(name="one", scopes=SCOPES, lease_s=60)
    other.join(name="other", scopes=SCOPES, lease_s=60)
    key = add(one, "a")[0].key
    until_heard(other, "work", 1)
    before = other.news()
    one.commit([make_end(key)], Teller())
    until_heard(other, "outbox", before.outbox + 1)
    until_heard(other, "ends", before.ends + 1)
    one.leave()
    until_heard(other, "members", before.members + 1)


def test_the_new_holder_finds_an_event_stored_during_the_hand_over(place: PostgresUrl, stores: list[Store]) -> None:
    """The new holder finds it at its first look, or is notified of it later."""
    other, share, found = stores[0], [Share(HOOK, slot_of("a"))], []
    key = add(other, "a")[0].key
    other.join(name="other", scopes=SCOPES, lease_s=60)
    before = heard(other).outbox
    with wire_to(place.reveal()) as wire:
        one = open_store(PostgresUrl(wire.url(place.reveal())), create=False, group_access=False)
        one.join(name="one", scopes=SCOPES, lease_s=60)
        one.claim(share)

        def change_hands() -> None:
            one.release(share)
            assert other.claim(share) == frozenset(share)
            found.extend(other.due("hook", "", now=NOW, limit=9)[0])

        def overtake(data: bytes) -> bool:
            if b"INTO writers" in data and not handing_over.ident:  # the last thing before COMMIT
                handing_over.start()
                handing_over.join(0.2)  # `release` waits at most 0.5 s for this commit
            return True

        handing_over = threading.Thread(target=change_hands)
        wire.on_request = overtake
        assert one.commit([make_end(key)], Teller(("hook", ""))) == [True]
        handing_over.join(10)
        one.close()
    if not found:
        until_heard(other, "outbox", before + 1)


def test_a_release_waits_only_briefly_for_a_commit(stores: list[Store]) -> None:
    store, share = stores[0], [Share(HOOK, 0)]
    store.join(name="one", scopes=SCOPES, lease_s=60)
    store.claim(share)
    key = add(store, "a")[0].key
    took: list[float] = []

    class Slow(Teller):
        def __call__(self, event: Event) -> Sequence[Parcel]:
            begun = time.monotonic()
            with pytest.raises(StoreError, match="kept it locked"):
                store.release(share)
            took.append(time.monotonic() - begun)
            return super().__call__(event)

    assert store.commit([make_end(key)], Slow()) == [True]
    assert 0.4 < took[0] < 4  # because the lease is not renewed during this wait
    store.release(share)
    assert store.renew(scopes=SCOPES, lease_s=60).holders == {}


def test_an_event_stored_after_a_release_is_announced(stores: list[Store]) -> None:
    one, other = stores
    one.join(name="one", scopes=SCOPES, lease_s=60)
    key = add(one, "a")[0].key
    one.claim([Share(HOOK, slot_of("a"))])
    before = heard(other).outbox
    one.release([Share(HOOK, slot_of("a"))])
    one.commit([make_end(key)], Teller(("hook", "")))
    until_heard(other, "outbox", before + 1)


def test_a_claim_given_to_another_member_is_no_longer_held(place: PostgresUrl, stores: list[Store]) -> None:
    one, other = stores
    one.join(name="one", scopes=SCOPES, lease_s=60)
    other.join(name="other", scopes=SCOPES, lease_s=60)
    key = add(one, "a")[0].key
    share = [Share(HOOK, slot_of("a"))]
    one.claim(share)
    with psycopg.connect(place.reveal(), autocommit=True) as server:
        server.execute("DELETE FROM shares")  # as after a failover to a server that was behind
    other.claim(share)
    one.renew(scopes=SCOPES, lease_s=60)
    before = heard(other).outbox
    one.commit([make_end(key)], Teller(("hook", "")))
    until_heard(other, "outbox", before + 1)


@contextmanager
def tearing(place: PostgresUrl) -> Iterator[tuple[Store, Callable[[], None]]]:
    """A store, and a function that makes the answer to its next commit get lost."""
    with wire_to(place.reveal()) as wire:
        store = open_store(PostgresUrl(wire.url(place.reveal())), create=False, group_access=False)

        def reconnect() -> None:
            wire.cut()
            wire.is_deaf = False

        cutting = threading.Timer(0.1, reconnect)

        def tear(data: bytes) -> bool:
            if b"COMMIT\0" in data and not cutting.ident:
                wire.is_deaf = True
                cutting.start()
            return True

        def arm() -> None:
            wire.on_request = tear

        yield store, arm
        store.close()


def test_a_membership_whose_answer_was_lost_takes_no_shares_from_others(
    place: PostgresUrl, stores: list[Store]
) -> None:
    with tearing(place) as (store, arm):
        arm()
        with pytest.raises(StoreError):
            store.join(name="one", scopes=SCOPES, lease_s=60)
        member = until_done(lambda: store.join(name="one", scopes=SCOPES, lease_s=60))
        assert [view.member for view in stores[1].members()] == [member]


def test_a_claimed_share_is_worked_on_even_if_the_answer_was_lost(place: PostgresUrl, stores: list[Store]) -> None:
    add(stores[1], "a")
    with tearing(place) as (store, arm):
        member, share = store.join(name="one", scopes=SCOPES, lease_s=60), Share(KLING, slot_of("a"))
        arm()
        with pytest.raises(StoreError):
            store.claim([share])
        assert until_done(lambda: store.renew(scopes=SCOPES, lease_s=60)).holders == {share: member}
        assert ids(store) == {"a"}


def until_done(call: Callable[[], T]) -> T:
    for _ in range(50):
        with suppress(StoreError):
            return call()
        time.sleep(0.05)
    return call()


def test_several_members_report_one_failing_endpoint_once(stores: list[Store]) -> None:
    for store in stores:
        store.join(name="any", scopes=SCOPES, lease_s=60)
    keys = [add(stores[0], task_id)[0].key for task_id in IDS[:2]]
    stores[0].commit([make_end(key) for key in keys], Teller())
    stores[0].claim([Share(endpoint_scope("automation"), slot) for slot in range(SLOTS)])
    deliveries, _ = stores[0].due("automation", "", now=NOW, limit=9)
    together, tell = threading.Barrier(2), Teller(("chat", ""))

    def work(store: Store, delivery: Delivery) -> None:
        for at in (0, 1, 2, 3, 4, 901, 902, 903):
            together.wait(10)
            store.commit([make_deferred(delivery, next_attempt_at=NOW, at=NOW + at + 0.1 * delivery.delivery_id)], tell)
        together.wait(10)
        store.commit([make_attempt(delivery, at=NOW + 1000)], tell)

    threads = [threading.Thread(target=work, args=each) for each in zip(stores, deliveries, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    told = sorted(view.topic for view in stores[0].list_deliveries() if view.endpoint == "chat")
    assert told == ["endpoint_failing", "endpoint_recovered"]


def test_the_members_can_be_seen(stores: list[Store]) -> None:
    one, other = stores
    assert other.members() == []
    name = one.join(name="one", scopes=SCOPES, lease_s=60)
    one.claim(EVEN)
    [view] = other.members()
    assert (view.member, view.shares) == (name, len(EVEN))
    assert view.lease_until - view.joined_at == pytest.approx(60, abs=1)


def heard(store: Store) -> News:
    """The notifications that it has received so far, after it has begun to listen."""
    for what in News._fields:
        until_heard(store, what, 1)
    return store.news()


def until_heard(store: Store, what: str, least: int) -> None:
    for _ in range(200):
        if getattr(store.news(), what) >= least:
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} was never heard: {store.news()}")


def test_copied_sources_belong_to_the_first_daemon_that_reads_them(
    stores: list[Store],
) -> None:
    one, _ = stores
    wishes = [make_wish(task_id=task_id) for task_id in ("a", "b")]
    one.sync(wishes, source="watchlist", now=NOW)
    one.add([], source="lines", now=NOW, cursor="7")
    mine = "watchlist@one:/srv/tasks.yaml"
    _, withdrawn = one.sync(wishes[:1], source=mine, now=NOW)
    assert [key.task_id for key in withdrawn] == ["b"]
    assert one.details(wishes[0].key).sources == (mine,)
    assert one.cursor("lines@one:/srv/ids.txt") == "7"
    one.add([], source="lines@one:/srv/ids.txt", now=NOW, cursor="9")
    assert one.cursor("lines@one:/srv/ids.txt") == "9"


def test_a_list_withdraws_no_task_of_another_daemons_list(stores: list[Store]) -> None:
    one, other = stores
    wishes = [make_wish(task_id=task_id) for task_id in ("a", "b")]
    one.sync(wishes, source="watchlist@one:/t", now=NOW)
    other.sync(wishes[:1], source="watchlist@other:/t", now=NOW)
    assert one.sync([], source="watchlist@one:/t", now=NOW)[1] == [wishes[1].key]
