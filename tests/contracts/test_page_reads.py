"""What every store must answer to the status page, whichever engine keeps it."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.store import Store
from bridge.store.page_views import BoundedCount, DisabledSince, ExpiringResult, FinishedIn, UndeliveredAt
from tests.factories import NOW
from tests.store.making import KEY, VIDEO, Teller, add, due, make_attempt, make_deferred, make_end, nobody

QUARTER = int(NOW // 900)


def key(name: str) -> WatchKey:
    return WatchKey("kling", name)


class TestFigures:
    def test_finished_tasks_are_counted_by_quarter_of_an_hour(self, store: Store) -> None:
        add(store, *"abcde")
        at = QUARTER * 900.0
        store.commit([make_end(key("a"), at=at), make_end(key("b"), at=at + 899.9)], nobody)
        store.commit([make_end(key("c"), phase=Phase.FAILED, at=at + 900)], nobody)
        store.withdraw([key("d")], now=at)
        assert sorted(store.finished_in(at)) == [
            FinishedIn(QUARTER, Phase.SUCCEEDED, 2),
            FinishedIn(QUARTER + 1, Phase.FAILED, 1),
        ]
        assert store.finished_in(at + 900) == [FinishedIn(QUARTER + 1, Phase.FAILED, 1)]

    def test_the_lag_is_the_time_from_the_finish_to_its_acceptance(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.commit([make_end(), make_end(key("b"))], Teller())
        store.commit([make_attempt(due(store)[0], at=NOW + 61.5)], nobody)
        assert store.delivery_lags(NOW) == [1.5]
        assert store.delivery_lags(NOW + 62) == []

    def test_undelivered_names_the_last_answer_at_each_endpoint(self, store: Store) -> None:
        add(store, "a", "b")
        store.commit([make_end(key("a")), make_end(key("b"))], Teller(("automation", ""), ("chat", "1")))
        first, second = due(store)
        dead = replace(
            make_attempt(first, at=NOW + 70), state=DeliveryState.DEAD, outcome="deferred", detail="HTTP 500"
        )
        store.commit([dead], nobody)
        store.commit(
            [replace(dead, delivery_id=second.delivery_id, at=NOW + 80, detail="HTTP 503", attempts=10)], nobody
        )
        assert store.undelivered() == [UndeliveredAt("automation", 2, NOW + 70, NOW + 80, 10, "HTTP 503")]

    def test_a_disabled_endpoint_says_since_when_and_why(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_end()], Teller())
        gone = make_deferred(
            due(store)[0], next_attempt_at=NOW, outcome="refused", detail="HTTP 410 Gone", disables=True
        )
        store.commit([gone], nobody)
        assert store.disabled_endpoints() == [DisabledSince("automation", gone.at, "HTTP 410 Gone")]

    def test_accepted_deliveries_are_counted_by_endpoint(self, store: Store) -> None:
        add(store, "a", "b")
        store.commit([make_end(key("a")), make_end(key("b"))], Teller())
        store.commit([make_attempt(one, at=NOW + 70 + one.delivery_id) for one in due(store)], nobody)
        [(endpoint, (count, last_at))] = store.accepted(NOW).items()
        assert (endpoint, count) == ("automation", BoundedCount(2, False))
        assert last_at > NOW + 70
        assert store.accepted(last_at + 1) == {}

    def test_a_result_that_goes_before_the_next_attempt_is_found(self, store: Store) -> None:
        gone_at = NOW + 600
        add(store, "task-1", "b", "c")
        expiring = VIDEO._replace(expires_ms=round(gone_at * 1000))
        store.commit([make_end(snapshot=expiring), make_end(key("b"), snapshot=expiring), make_end(key("c"))], Teller())
        late, soon, lasting = due(store)
        store.commit(
            [
                make_deferred(late, next_attempt_at=gone_at + 1),
                make_deferred(soon, next_attempt_at=gone_at - 1),
                make_deferred(lasting, next_attempt_at=gone_at + 1),
            ],
            nobody,
        )
        assert store.expiring(NOW + 90) == [ExpiringResult("automation", *KEY, gone_at + 1, gone_at)]
        assert store.expiring(gone_at) == []

    def test_a_store_says_how_large_it_is(self, store: Store) -> None:
        space = store.space()
        assert (space.size_bytes > 0) or space.free_bytes is None
        assert (space.free_bytes is None) == (space.disk_bytes is None)
