"""What every store must do for copies: an outcome can add an event, and deliveries are due in the right order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.domain.delivery import Delivery
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.event_building import archived_event
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import KEY, VIDEO, Teller, add, due, make_attempt, make_deferred, make_end

pytestmark = pytest.mark.usefixtures("unmeasured")


def copies_event(of: str) -> Event:
    data = {"account": KEY.account, "task_id": KEY.task_id, "archive": []}
    return archived_event(data, [{"n": 1}], of=of, at=NOW + 62)


def test_the_event_of_an_outcome_is_committed_with_it_once(store: Store) -> None:
    store.add([make_wish(endpoints=("chat",))], source="cli", now=NOW)
    store.commit([make_end()], Teller())
    [delivery] = due(store)
    event, tell = copies_event(delivery.event_id), Teller(("hook", ""))

    assert store.commit([make_deferred(delivery, next_attempt_at=NOW + 5)], tell) == [True]
    assert tell.events == []
    made = make_attempt(delivery, event=event)
    assert store.commit([made], tell) == [True]
    assert store.commit([make_attempt(delivery, event=event, at=NOW + 99)], tell) == [False]

    [told] = tell.events
    assert told.event_id == event.event_id
    assert told.endpoints == ("chat",)  # as the task says
    [following] = due(store, queue=("hook", ""))
    assert (following.topic, following.subject) == ("task_archived", KEY.task_id)
    assert [one.topic for one in store.deliveries_of(KEY)] == ["task_succeeded", "task_archived"]


def test_the_same_event_again_is_sent_once(store: Store) -> None:
    add(store, KEY.task_id)
    store.commit([make_end()], Teller())
    [delivery] = due(store)
    event, tell = copies_event(delivery.event_id), Teller(("hook", ""))
    store.commit([make_attempt(delivery, event=event)], tell)

    store.redeliver(DeliveryFilter(event_ids=(delivery.event_id,)))
    store.commit([make_attempt(delivery, event=event, at=NOW + 99)], tell)

    assert len(due(store, queue=("hook", ""))) == 1


def test_more_urgent_deliveries_are_due_first(store: Store) -> None:
    add(store, "a", "b", "c")
    urgency = {"a": 0.0, "b": -0.8, "c": -0.9}

    def parcels_for(event: Event) -> Sequence[Parcel]:
        return [Parcel(endpoint="automation", target="", body=b"x", due_at=urgency[event.subject])]

    store.commit([make_end(WatchKey("kling", name)) for name in urgency], parcels_for)

    assert [one.subject for one in due(store)] == ["c", "b", "a"]


HELD_UNTIL = NOW + 120


def holding(event: Event) -> Sequence[Parcel]:
    """The parcels as with `notify_after_copies`: the receiver's is held, unless the event is a release. The archive's
    is not held."""
    body = f"{event.event_id} {len(event.data['archive'])} {event.is_release} {event.kept}".encode()
    is_held = event.topic is Topic.TASK_SUCCEEDED and not event.is_release
    hook = Parcel(endpoint="hook", target="", body=body, due_at=HELD_UNTIL if is_held else 0.0)
    copies = Parcel(endpoint="automation", target="", body=b"copies", is_documented=True)
    return [hook] if event.topic is Topic.TASK_ARCHIVED or event.is_release else [hook, copies]


def held_end(store: Store) -> Delivery:
    """Add a task whose finish is held for the receiver. Returns the delivery of its copies."""
    add(store, KEY.task_id)
    store.commit([make_end(snapshot=VIDEO._replace(kept={"model": "m"}))], holding)
    [copies] = due(store, now=NOW)
    return copies


HOOK = ("hook", "")


def test_a_held_delivery_is_due_at_the_latest_when_patience_ends(store: Store) -> None:
    held_end(store)

    assert due(store, now=HELD_UNTIL - 1, queue=HOOK) == []
    assert len(due(store, now=HELD_UNTIL, queue=HOOK)) == 1


def test_without_an_archive_held_deliveries_are_due_but_not_retries(store: Store) -> None:
    copies = held_end(store)
    add(store, "other")
    store.commit([make_end(WatchKey("kling", "other"))], Teller(HOOK))
    [retried] = due(store, now=NOW, queue=HOOK)
    store.commit([make_deferred(retried, next_attempt_at=NOW + 100)], holding)

    assert store.make_due(latest_at=NOW + 100, first_at=HELD_UNTIL) == 0
    assert store.make_due(latest_at=HELD_UNTIL + 1000, first_at=NOW) == 1
    [told] = due(store, now=NOW, queue=HOOK)
    assert (told.event_id, told.body.split()[1]) == (copies.event_id, b"0")
    assert [one.event_id for one in due(store, now=NOW)] == [copies.event_id]


def test_a_release_writes_the_bytes_anew_and_makes_them_due(store: Store) -> None:
    copies = held_end(store)
    store.commit([make_attempt(copies, event=copies_event(copies.event_id), at=NOW + 30)], holding)

    [told] = due(store, now=NOW + 30, queue=HOOK)
    assert (told.event_id, told.topic) == (copies.event_id, "task_succeeded")
    assert told.body.decode() == f"{copies.event_id} 1 True {{'model': 'm'}}"
    store.commit([make_attempt(told)], holding)
    [after] = due(store, now=NOW + 40, queue=HOOK)  # in the order of the task's events
    assert after.topic == "task_archived"


@pytest.mark.parametrize("at", [HELD_UNTIL - 1, HELD_UNTIL + 30])
def test_a_delivery_that_may_be_in_flight_keeps_its_bytes(store: Store, at: float) -> None:
    copies = held_end(store)
    [before] = due(store, now=HELD_UNTIL, queue=HOOK)
    store.commit([make_attempt(copies, event=copies_event(copies.event_id), at=at)], holding)

    [after] = due(store, now=HELD_UNTIL, queue=HOOK)
    assert after.body == before.body


@pytest.mark.parametrize(
    ("patience_s", "after_s", "is_released"), [(1, 0.4, True), (1, 0.7, False), (5, 2, True), (5, 3, False)]
)
def test_a_short_patience_is_enough_for_a_quick_copy(
    store: Store, patience_s: float, after_s: float, is_released: bool
) -> None:
    add(store, KEY.task_id)
    ended_at = NOW + 60

    def briefly(event: Event) -> Sequence[Parcel]:
        return [replace(one, due_at=one.due_at and ended_at + patience_s) for one in holding(event)]

    store.commit([make_end(snapshot=VIDEO, at=ended_at)], briefly)
    [copies] = due(store, now=ended_at)
    store.commit([make_attempt(copies, event=copies_event(copies.event_id), at=ended_at + after_s)], briefly)

    [told] = due(store, now=ended_at + patience_s, queue=HOOK)
    assert told.body.split()[1] == (b"1" if is_released else b"0")
    assert bool(due(store, now=ended_at + after_s, queue=HOOK)) is is_released


def test_an_attempted_delivery_keeps_its_bytes_until_its_retry(store: Store) -> None:
    copies = held_end(store)
    [told] = due(store, now=HELD_UNTIL, queue=HOOK)
    store.commit([make_deferred(told, next_attempt_at=HELD_UNTIL + 500)], holding)
    store.commit([make_attempt(copies, event=copies_event(copies.event_id), at=HELD_UNTIL + 1)], holding)

    assert due(store, now=HELD_UNTIL + 400, queue=HOOK) == []
    assert due(store, now=HELD_UNTIL + 500, queue=HOOK)[0].body == told.body


def test_held_deliveries_of_a_removed_endpoint_keep_their_old_bytes(store: Store) -> None:
    copies = held_end(store)

    def without_hook(event: Event) -> Sequence[Parcel]:
        return []

    store.commit([make_attempt(copies, event=copies_event(copies.event_id), at=NOW + 30)], without_hook)
    [told] = due(store, now=NOW + 30, queue=HOOK)
    assert told.body.decode().startswith(f"{copies.event_id} 0 False")
