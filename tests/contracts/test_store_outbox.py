"""What every store must do, on every engine: `ports.Outbox`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.change import Change, EndpointChecked
from bridge.domain.delivery import Delivery
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Parcel, Topic
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.store import Store
from tests.factories import NOW
from tests.store.making import (
    KEY,
    QUEUE,
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

pytestmark = pytest.mark.usefixtures("unmeasured")


class TestOutbox:
    def ended(self, store: Store, *task_ids: str, tell: Teller | None = None) -> None:
        """Add watches that ended one second after the other."""
        for place, one in enumerate(add(store, *task_ids)):
            store.commit([make_end(one.key, at=NOW + place)], tell or Teller())

    def test_new_deliveries_are_due_at_once_and_the_oldest_comes_first(self, store: Store) -> None:
        self.ended(store, "a", "b", "c")
        found, next_at = store.due(*QUEUE, now=NOW - 86_400, limit=2)
        assert [one.subject for one in found] == ["a", "b"]
        assert next_at is not None
        assert next_at <= NOW - 86_400
        found, next_at = store.due(*QUEUE, now=NOW, limit=10)
        assert ([one.subject for one in found], next_at) == (["a", "b", "c"], None)

    def test_queues_are_independent_of_each_other(self, store: Store) -> None:
        self.ended(store, "a", tell=Teller(("one", ""), ("two", "x"), ("two", "y")))
        assert store.queues() == [("one", ""), ("two", "x"), ("two", "y")]
        [delivery] = due(store, queue=("two", "x"))
        store.commit([make_attempt(delivery)], nobody)
        assert store.queues() == [("one", ""), ("two", "y")]
        assert store.due("two", "x", now=NOW + 9, limit=9) == ([], None)
        assert len(due(store, queue=("two", "y"))) == 1

    def test_only_the_oldest_waiting_delivery_of_each_task_is_due(self, store: Store) -> None:
        add(store, "task-1", "b")
        first, second = make_progress(10, at=NOW + 1), make_progress(20, at=NOW + 2)
        store.commit([first, second, make_end(WatchKey("kling", "b"), at=NOW + 3)], Teller())
        up = due(store)
        assert [one.subject for one in up] == ["task-1", "b"]
        store.commit([make_deferred(up[0], next_attempt_at=NOW + 500)], nobody)
        found, next_at = store.due(*QUEUE, now=NOW + 400, limit=9)
        assert ([one.subject for one in found], next_at) == (["b"], NOW + 500)
        store.commit([make_attempt(up[0], at=NOW + 501)], nobody)
        assert [one.subject for one in due(store, now=NOW + 400)] == ["task-1", "b"]

    def test_a_delivery_is_shown_as_due_after_an_earlier_one(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_end()], Teller(QUEUE, ("chat", "")))
        for generation in (2, 3):
            add(store, "task-1", again=True)
            again = make_end()
            note = again.note._replace(generation=generation)
            store.commit([replace(again, note=note)], Teller(QUEUE, ("chat", "")))
        store.commit([make_deferred(due(store)[0], next_attempt_at=NOW + 500)], nobody)
        views = store.list_deliveries()
        assert [one.next_attempt_at for one in views if one.endpoint == "automation"] == [NOW + 500] * 3
        assert [one.next_attempt_at for one in views if one.endpoint == "chat"] == [NOW + 60] * 3

    def test_deliveries_in_progress_are_left_out_and_still_block_their_task(self, store: Store) -> None:
        add(store, "task-1", "b", "c")
        progress = [make_progress(10, at=NOW + 1), make_progress(20, at=NOW + 2)]
        ends = [make_end(WatchKey("kling", one), at=NOW + 3) for one in ("b", "c")]
        store.commit([*progress, *ends], Teller())
        first, second, third = due(store)
        in_hand = [first.delivery_id, second.delivery_id]
        found, next_at = store.due(*QUEUE, now=NOW, limit=1, apart_from=in_hand)
        assert ([one.delivery_id for one in found], next_at) == ([third.delivery_id], None)
        assert store.due(*QUEUE, now=NOW, limit=9, apart_from=[*in_hand, third.delivery_id]) == ([], None)

    def test_hundreds_of_events_keep_their_order_and_bytes(self, store: Store) -> None:
        keys = [one.key for one in add(store, *(f"task-{place}" for place in range(333)))]
        body = b'{"id":"%s","text":"\x00 \xff \xed\xa0\x80 \\u0000 \xe4\xb8\xad"}'
        applied = store.commit(
            [make_end(key, at=NOW + 1 / 3) for key in keys],
            lambda event: [Parcel(endpoint=QUEUE[0], target=QUEUE[1], body=body % event.subject.encode())],
        )
        assert applied == [True] * 333
        found = due(store, limit=999)
        assert [one.subject for one in found] == [key.task_id for key in keys]
        assert [one.body for one in found] == [body % key.task_id.encode() for key in keys]

    def test_long_bodies_are_fetched_few_at_a_time_but_at_least_one(self, store: Store) -> None:
        keys = [one.key for one in add(store, "a", "b", "c", "d")]
        store.commit(
            [make_end(key) for key in keys],
            lambda event: [Parcel(endpoint=QUEUE[0], target=QUEUE[1], body=event.subject.encode() * 1000)],
        )
        for most_bytes, count in ((2999, 2), (2000, 2), (1, 1), (4000, 4)):
            found, next_at = store.due(*QUEUE, now=NOW, limit=9, most_bytes=most_bytes)
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
        assert store.due(*QUEUE, now=NOW + 299, limit=9) == ([], NOW + 300)
        [again] = due(store, now=NOW + 300)
        assert again == replace(delivery, attempts=1)

    def test_sent_messages_of_a_delivery_are_remembered_until_it_is_redelivered(self, store: Store) -> None:
        self.ended(store, "task-1")
        [delivery] = due(store)
        made = replace(make_deferred(delivery, next_attempt_at=NOW + 1), sent_so_far="2:abc")
        store.commit([made], nobody)
        [again] = due(store, now=NOW + 1)
        assert again == replace(delivery, attempts=1, sent_so_far="2:abc")
        store.redeliver(DeliveryFilter(event_ids=(delivery.event_id,)))
        assert due(store, now=NOW + 1) == [delivery]

    def test_a_queue_that_is_held_is_remembered_until_its_time_is_over(self, store: Store) -> None:
        self.ended(store, "a", "b", tell=Teller(("one", ""), ("two", "x"), ("two", "y")))
        [delivery, _] = due(store, queue=("two", "x"))
        made = make_deferred(delivery, next_attempt_at=NOW + 500, target="x", queue_until=NOW + 300)
        store.commit([made], nobody)
        assert store.queue_wait_ends({}) == {("two", "x"): NOW + 300}
        views = {(one.place, one.task_id): one.next_attempt_at for one in store.list_deliveries()}
        assert (views["two[x]", "a"], views["two[x]", "b"]) == (NOW + 500, NOW + 300)
        assert views["one", "b"] == views["two[y]", "b"] == NOW + 1
        store.commit([replace(made, at=NOW + 62, queue_until=NOW + 200)], nobody)
        assert store.queue_wait_ends({}) == {("two", "x"): NOW + 200}
        store.prune(now=NOW + 201, ended_s=9e9, delivered_s=9e9, dead_s=9e9, limit=9)
        assert store.queue_wait_ends({}) == {}

    def held(self, store: Store, reason: str = "HTTP 429") -> None:
        """Add a delivery whose receiver asked genbridge to wait, and one that waits behind it."""
        self.ended(store, "a", "b")
        [delivery, _] = due(store)
        made = make_deferred(delivery, next_attempt_at=NOW + 300, queue_until=NOW + 300)
        store.commit([replace(made, queue_reason=reason)], nobody)

    def test_a_hold_shows_the_answer_that_requested_it(self, store: Store) -> None:
        self.held(store, reason="HTTP 503\0")
        [wait] = store.queue_waits()
        assert (wait.endpoint, wait.target, wait.until_at) == (*QUEUE, NOW + 300)
        assert wait.reason.startswith("HTTP 503")

    def test_redeliver_lifts_the_holds_of_its_endpoints(self, store: Store) -> None:
        self.held(store)
        store.redeliver(DeliveryFilter(states=(DeliveryState.DEAD,)))
        assert store.queue_wait_ends({}) == {QUEUE: NOW + 300}, "nothing was dead"
        [first, _] = store.list_deliveries()
        assert store.redeliver(DeliveryFilter(event_ids=(first.event_id,))) == 1
        assert store.queue_wait_ends({}) == {}
        assert [one.subject for one in due(store, now=NOW + 1)] == ["a", "b"]

    def test_enable_lifts_the_holds_of_its_endpoint(self, store: Store) -> None:
        self.held(store)
        assert not store.enable(QUEUE[0]), "it was not disabled"
        assert store.queue_wait_ends({}) == {}
        assert [one.subject for one in due(store, now=NOW + 1)] == ["a", "b"]

    def test_other_settings_of_the_endpoint_lift_its_holds(self, store: Store) -> None:
        store.disabled({QUEUE[0]: "today"})
        self.held(store)
        assert (
            store.queue_wait_ends({"other": "tomorrow"})
            == store.queue_wait_ends({QUEUE[0]: "today"})
            == {QUEUE: NOW + 300}
        )
        assert store.queue_wait_ends({QUEUE[0]: "tomorrow"}) == {}
        assert [one.subject for one in due(store, now=NOW + 1)] == ["a", "b"]

    def test_lifting_a_hold_leaves_later_retries_where_they_are(self, store: Store) -> None:
        self.ended(store, "a")
        [delivery] = due(store)
        store.commit([make_deferred(delivery, next_attempt_at=NOW + 900, queue_until=NOW + 300)], nobody)
        store.enable(QUEUE[0])
        assert store.due(*QUEUE, now=NOW + 301, limit=9) == ([], NOW + 900)

    def test_an_ordered_queue_is_fetched_in_commit_order_despite_retries(self, store: Store) -> None:
        self.ended(store, "a", "b", "c", "d")
        first, second, *_ = due(store)
        store.commit([make_deferred(first, next_attempt_at=NOW + 70)], nobody)
        store.commit([make_deferred(second, next_attempt_at=NOW + 500)], nobody)
        found, next_at = store.due(*QUEUE, now=NOW + 70, limit=9, in_order=True)
        assert ([one.subject for one in found], next_at) == (["a", "c", "d"], NOW + 500)
        found, _ = store.due(*QUEUE, now=NOW + 70, limit=2, in_order=True)
        assert [one.subject for one in found] == ["a", "c"]
        found, _ = store.due(*QUEUE, now=NOW + 70, limit=9)
        assert [one.subject for one in found] == ["c", "d", "a"]

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
    def test_a_late_outcome_does_not_change_a_settled_delivery(
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
        in_flight = store.due(*QUEUE, now=NOW + 99, limit=9, apart_from=[running.delivery_id])
        assert in_flight == ([], None), "the finish must not overtake it"
        assert len(due(store)) == 1
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


def test_a_deliverys_address_stays_as_fixed_at_the_commit(store: Store) -> None:
    add(store, "task-1")
    tell = Teller()
    store.commit([make_end()], tell)
    [delivery] = due(store)

    assert delivery.address == f"/of/{delivery.event_id}"
    store.commit([make_attempt(delivery, state=DeliveryState.DEAD, outcome="undeliverable")], nobody)
    store.redeliver(DeliveryFilter(event_ids=(delivery.event_id,)))
    assert [again.address for again in due(store)] == [delivery.address]


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

    def test_a_410_disables_the_endpoint_and_is_reported_elsewhere_once(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        self.refuse(store, tell)
        self.refuse(store, tell, at=NOW + 62)
        assert store.disabled(self.PRINTS) == {"automation": "410 Gone"}
        assert tell.topics == [Topic.ENDPOINT_DISABLED]
        assert (tell.events[0].subject, tell.events[0].data["reason"]) == ("automation", "410 Gone")
        assert [one.topic for one in due(store, queue=("chat", ""))] == ["endpoint_disabled"]

    def test_a_delivery_to_a_disabled_endpoint_waits_and_does_not_age(self, store: Store) -> None:
        self.ready(store)
        delivery = self.refuse(store, Teller())
        again = [one for one in due(store) if one.delivery_id == delivery.delivery_id]
        assert [one.attempts for one in again] == [0]

    def test_changed_settings_enable_it(self, store: Store) -> None:
        self.ready(store)
        self.refuse(store, Teller(("chat", "")))
        assert store.disabled({"chat": "other"}) == {"automation": "410 Gone"}  # removed is not changed
        assert store.disabled({**self.PRINTS, "automation": "new"}) == {}
        assert store.disabled(self.PRINTS) == {}

    def test_after_enable_the_next_410_is_reported_again(self, store: Store) -> None:
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


class TestFailingEndpoints:
    def fail(self, store: Store, tell: Teller, *at: float) -> list[bool]:
        delivery = due(store, now=NOW + 9e6)[0]
        made = [make_deferred(delivery, next_attempt_at=NOW, at=NOW + second) for second in at]
        return [store.commit([one], tell) == [True] for one in made]

    def ready(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.commit([make_end(), make_end(WatchKey("kling", "b"))], Teller())

    def test_five_failures_in_fifteen_minutes_and_the_recovery_are_reported_once(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        assert all(self.fail(store, tell, 0, 5, 300, 400, 899))
        assert tell.events == []
        assert store.failing() == {"automation"}
        self.fail(store, tell, 900, 905)
        [failing] = tell.events
        assert (failing.topic, failing.subject, failing.account) == (Topic.ENDPOINT_FAILING, "automation", "")
        assert set(failing.data) == {"endpoint", "reason", "occurred_at", "event_id"}
        assert failing.data["reason"] == "no success for 15 min, 6 failed attempts; the last one: 503"
        for delivery in due(store, now=NOW + 9e6):
            store.commit([make_attempt(delivery, at=NOW + 1000)], tell)
        assert [event.topic for event in tell.events] == [Topic.ENDPOINT_FAILING, Topic.ENDPOINT_RECOVERED]
        assert store.failing() == frozenset()
        [told] = [one for one in store.list_deliveries() if one.topic == "endpoint_failing"]
        assert (told.endpoint, told.task_id) == ("chat", "automation")

    def test_a_success_after_a_short_failure_is_not_reported(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        self.fail(store, tell, 0, 1, 2, 3, 4)
        for delivery in due(store, now=NOW + 9e6):
            store.commit([make_attempt(delivery, at=NOW + 5)], tell)
        assert tell.events == []

    def test_a_failing_endpoint_is_reported_when_enough_time_has_passed(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        check = EndpointChecked(endpoint="automation", at=NOW + 899)
        assert store.commit([check], tell) == [False]
        self.fail(store, tell, 0, 1, 2, 3, 4)
        assert store.commit([check], tell) == [True]
        assert tell.events == []
        assert store.commit([replace(check, at=NOW + 900)] * 2, tell) == [True, True]
        assert store.commit([replace(check, at=NOW + 99_000)], tell) == [True]
        assert tell.topics == [Topic.ENDPOINT_FAILING]

    def test_each_failure_has_its_own_events(self, store: Store) -> None:
        self.ready(store)
        tell = Teller(("chat", ""))
        first, second = due(store)
        for begun_at, delivery in ((NOW, first), (NOW + 5000, second)):
            made = make_deferred(delivery, next_attempt_at=NOW)
            store.commit([replace(made, at=begun_at + second_) for second_ in (0, 1, 2, 3, 900)], tell)
            store.commit([make_attempt(delivery, at=begun_at + 1000)], tell)
        assert len({event.event_id for event in tell.events}) == 4
