"""What every store must do for copies: an event that an outcome brings, and the order of what is due."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.event import Event, Parcel
from bridge.domain.event_building import archived_event
from bridge.domain.ids import WatchKey
from bridge.store import Store
from bridge.store.selection import DeliveryFilter
from tests.factories import NOW, make_wish
from tests.store.making import KEY, Teller, add, due, make_attempt, make_deferred, make_end


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


def test_what_is_more_urgent_is_due_first(store: Store) -> None:
    add(store, "a", "b", "c")
    urgency = {"a": 0.0, "b": -0.8, "c": -0.9}

    def parcels_for(event: Event) -> Sequence[Parcel]:
        return [Parcel(endpoint="automation", target="", body=b"x", due_at=urgency[event.subject])]

    store.commit([make_end(WatchKey("kling", name)) for name in urgency], parcels_for)

    assert [one.subject for one in due(store)] == ["c", "b", "a"]
