"""What every store must do, whichever engine keeps it: `ports.Outbox`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.change import Change
from bridge.domain.delivery import Delivery, DeliveryState
from bridge.domain.event import Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.store import Store
from tests.factories import NOW
from tests.store.making import (
    KEY,
    LANE,
    Teller,
    add,
    due,
    make_attempt,
    make_block,
    make_deferred,
    make_end,
    make_progress,
    nobody,
)


class TestOutbox:
    def ended(self, store: Store, *task_ids: str, tell: Teller | None = None) -> None:
        """Watches that ended one second after the other."""
        for place, one in enumerate(add(store, *task_ids)):
            store.commit([make_end(one.key, at=NOW + place)], tell or Teller())

    def test_a_new_delivery_is_due_whatever_the_instant_of_its_event_and_the_oldest_comes_first(
        self, store: Store
    ) -> None:
        self.ended(store, "a", "b", "c")
        found, next_at = store.due(*LANE, now=NOW - 86_400, limit=2)
        assert [one.subject for one in found] == ["a", "b"]
        assert next_at is not None
        assert next_at <= NOW - 86_400
        found, next_at = store.due(*LANE, now=NOW, limit=10)
        assert ([one.subject for one in found], next_at) == (["a", "b", "c"], None)

    def test_lanes_are_strangers_to_one_another(self, store: Store) -> None:
        self.ended(store, "a", tell=Teller(("one", ""), ("two", "x"), ("two", "y")))
        assert store.lanes() == [("one", ""), ("two", "x"), ("two", "y")]
        [delivery] = due(store, lane=("two", "x"))
        store.commit([make_attempt(delivery)], nobody)
        assert store.lanes() == [("one", ""), ("two", "y")]
        assert store.due("two", "x", now=NOW + 9, limit=9) == ([], None)
        assert len(due(store, lane=("two", "y"))) == 1

    def test_of_each_task_only_the_oldest_waiting_delivery_is_up(self, store: Store) -> None:
        add(store, "task-1", "b")
        first, second = make_progress(10, at=NOW + 1), make_progress(20, at=NOW + 2)
        store.commit([first, second, make_end(WatchKey("kling", "b"), at=NOW + 3)], Teller())
        up = due(store)
        assert [one.subject for one in up] == ["task-1", "b"]
        store.commit([make_deferred(up[0], next_attempt_at=NOW + 500)], nobody)
        found, next_at = store.due(*LANE, now=NOW + 400, limit=9)
        assert ([one.subject for one in found], next_at) == (["b"], NOW + 500)
        store.commit([make_attempt(up[0], at=NOW + 501)], nobody)
        assert [one.subject for one in due(store, now=NOW + 400)] == ["task-1", "b"]

    def test_those_in_hand_are_left_out_and_still_hold_up_their_task(self, store: Store) -> None:
        add(store, "task-1", "b", "c")
        progress = [make_progress(10, at=NOW + 1), make_progress(20, at=NOW + 2)]
        ends = [make_end(WatchKey("kling", one), at=NOW + 3) for one in ("b", "c")]
        store.commit([*progress, *ends], Teller())
        first, second, third = due(store)
        in_hand = [first.delivery_id, second.delivery_id]
        found, next_at = store.due(*LANE, now=NOW, limit=1, apart_from=in_hand)
        assert ([one.delivery_id for one in found], next_at) == ([third.delivery_id], None)
        assert store.due(*LANE, now=NOW, limit=9, apart_from=[*in_hand, third.delivery_id]) == ([], None)

    def test_hundreds_are_told_in_their_order_each_with_its_own_bytes(self, store: Store) -> None:
        keys = [one.key for one in add(store, *(f"task-{place}" for place in range(333)))]
        body = b'{"id":"%s","text":"\x00 \xff \xed\xa0\x80 \\u0000 \xe4\xb8\xad"}'
        applied = store.commit(
            [make_end(key, at=NOW + 1 / 3) for key in keys],
            lambda event: [Parcel(endpoint=LANE[0], target=LANE[1], body=body % event.subject.encode())],
        )
        assert applied == [True] * 333
        found = due(store, limit=999)
        assert [one.subject for one in found] == [key.task_id for key in keys]
        assert [one.body for one in found] == [body % key.task_id.encode() for key in keys]

    def test_long_ones_are_handed_out_few_at_a_time_and_one_at_least(self, store: Store) -> None:
        keys = [one.key for one in add(store, "a", "b", "c", "d")]
        store.commit(
            [make_end(key) for key in keys],
            lambda event: [Parcel(endpoint=LANE[0], target=LANE[1], body=event.subject.encode() * 1000)],
        )
        for most_bytes, count in ((2999, 2), (2000, 2), (1, 1), (4000, 4)):
            found, next_at = store.due(*LANE, now=NOW, limit=9, most_bytes=most_bytes)
            assert [one.body for one in found] == [text * 1000 for text in (b"a", b"b", b"c", b"d")[:count]]
            assert (next_at is None) == (count == 4)

    def test_operator_topics_do_not_wait_for_one_another(self, store: Store) -> None:
        changes = [make_block(), make_block(blocked=False, at=NOW + 1), make_block(count=2, at=NOW + 2)]
        store.commit(changes, Teller())
        assert len(due(store)) == 3

    def test_a_deferred_delivery_waits_for_its_instant(self, store: Store) -> None:
        self.ended(store, "task-1")
        [delivery] = due(store)
        assert store.commit([make_deferred(delivery, next_attempt_at=NOW + 300)], nobody) == [True]
        assert store.due(*LANE, now=NOW + 299, limit=9) == ([], NOW + 300)
        [again] = due(store, now=NOW + 300)
        assert again == replace(delivery, attempts=1)

    def test_every_attempt_is_kept_with_its_outcome(self, store: Store) -> None:
        self.ended(store, "task-1")
        [delivery] = due(store)
        deferred = make_deferred(delivery, next_attempt_at=NOW + 66, at=NOW + 61, duration_s=0.25)
        store.commit([deferred], nobody)
        store.commit([make_attempt(delivery, at=NOW + 66, attempts=2)], nobody)
        [view] = store.deliveries_of(KEY)
        assert [(one.at, one.outcome, one.detail, one.duration_s) for one in view.made] == [
            (NOW + 61, "deferred", "503", 0.25),
            (NOW + 66, "accepted", "200", 0.1),
        ]
        assert (view.state, view.attempts, view.last_outcome, view.next_attempt_at) == ("accepted", 2, "accepted", None)

    @pytest.mark.parametrize("settled", [DeliveryState.ACCEPTED, DeliveryState.DEAD])
    @pytest.mark.parametrize("late", [DeliveryState.WAITING, DeliveryState.ACCEPTED, DeliveryState.DEAD])
    def test_a_late_outcome_moves_nothing_that_is_settled(
        self, store: Store, settled: DeliveryState, late: DeliveryState
    ) -> None:
        self.ended(store, "task-1")
        [delivery] = due(store)
        store.commit([make_attempt(delivery, state=settled)], nobody)
        next_at = NOW if late is DeliveryState.WAITING else None
        moved = store.commit([make_attempt(delivery, at=NOW + 99, state=late, next_attempt_at=next_at)], nobody)
        assert moved == [False]
        [view] = store.deliveries_of(KEY)
        assert view.state is settled
        assert len(view.made) == 2
        assert due(store) == []

    def test_an_outcome_that_comes_after_the_cancelling_is_kept_but_revives_nothing(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_progress(10)], Teller())
        [running] = due(store)
        store.commit([make_end()], Teller())
        assert store.commit([make_deferred(running, next_attempt_at=NOW + 99)], nobody) == [False]
        assert [one.state for one in store.deliveries_of(KEY)] == ["canceled", "waiting"]

    def test_a_commit_repeated_after_a_lost_answer_changes_nothing_more(self, store: Store) -> None:
        add(store, "task-1")
        tell = Teller()
        changes: list[Change] = [make_progress(10), make_end(), make_block()]
        store.commit(changes, tell)
        assert store.commit(changes, tell) == [False, False, False]
        [end] = [one for one in due(store) if one.subject]
        made = make_attempt(end, state=DeliveryState.DEAD, outcome="deferred")
        assert [store.commit([made], tell), store.commit([made], tell)] == [[True], [False]]
        views = store.deliveries_of(KEY)
        assert [len(view.made) for view in views] == [0, 1]
        assert tell.topics == ["task_progress", "task_succeeded", "account_blocked"]

    def test_an_attempt_of_a_delivery_that_is_gone_is_forgotten(self, store: Store) -> None:
        self.ended(store, "task-1")
        [delivery] = due(store)
        assert store.commit([make_attempt(replace(delivery, delivery_id=999))], nobody) == [False]


class TestDisabledEndpoints:
    PRINTS = {"automation": "aa", "chat": "cc"}  # noqa: RUF012 - read only

    def refuse(self, store: Store, tell: Teller, *, at: float = NOW + 61) -> Delivery:
        delivery = due(store)[0]
        refused = make_attempt(delivery, state=DeliveryState.WAITING, outcome="refused", detail="410 Gone")
        store.commit([replace(refused, attempts=0, next_attempt_at=at, disables=True, at=at)], tell)
        return delivery

    def ready(self, store: Store) -> None:
        assert store.disabled(self.PRINTS) == {}
        add(store, "task-1")
        store.commit([make_end()], Teller())

    def test_a_410_disables_the_endpoint_and_is_told_elsewhere_once(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        self.refuse(store, tell)
        self.refuse(store, tell, at=NOW + 62)
        assert store.disabled(self.PRINTS) == {"automation": "410 Gone"}
        assert tell.topics == [Topic.ENDPOINT_DISABLED]
        assert (tell.events[0].subject, tell.events[0].data["reason"]) == ("automation", "410 Gone")
        assert [one.topic for one in due(store, lane=("chat", ""))] == ["endpoint_disabled"]

    def test_its_delivery_waits_and_does_not_age(self, store: Store) -> None:
        self.ready(store)
        delivery = self.refuse(store, Teller())
        again = [one for one in due(store) if one.delivery_id == delivery.delivery_id]
        assert [one.attempts for one in again] == [0]

    def test_changed_settings_enable_it(self, store: Store) -> None:
        self.ready(store)
        self.refuse(store, Teller(("chat", "")))
        assert store.disabled({"chat": "other"}) == {"automation": "410 Gone"}  # gone from the settings: not changed
        assert store.disabled({**self.PRINTS, "automation": "new"}) == {}
        assert store.disabled(self.PRINTS) == {}

    def test_a_person_enables_it_and_the_next_410_is_told_anew(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        delivery = self.refuse(store, tell)
        store.commit([make_deferred(delivery, next_attempt_at=NOW + 5000)], nobody)
        assert store.enable("automation")
        assert not store.enable("automation")
        assert not store.enable("unknown")
        assert store.disabled(self.PRINTS) == {}
        assert len(due(store, now=NOW + 100)) == 1
        self.refuse(store, tell, at=NOW + 101)
        assert store.disabled(self.PRINTS) == {"automation": "410 Gone"}
        assert len({event.event_id for event in tell.events}) == 2

    def test_a_repeated_commit_does_not_disable_what_a_person_enabled_meanwhile(self, store: Store) -> None:
        self.ready(store)
        self.refuse(store, Teller())
        store.enable("automation")
        self.refuse(store, Teller())
        assert store.disabled(self.PRINTS) == {}
