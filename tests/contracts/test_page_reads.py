"""What every store must return to the status page, on every engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import EVERY_WATCH, WatchFilter
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.page_views import (
    BoundedCount,
    DeadDeliveries,
    DeliveryGroup,
    DeliverySearch,
    DisabledSince,
    ExpiringResult,
    FinishedIn,
)
from bridge.domain.pause import PauseOf
from bridge.domain.task import Phase
from bridge.domain.views import DeliveryView, WatchView
from bridge.store import Store
from bridge.store import pages as page_reads
from tests.factories import NOW, make_wish
from tests.store.making import KEY, VIDEO, Teller, add, due, make_attempt, make_deferred, make_end, nobody

pytestmark = pytest.mark.usefixtures("unmeasured")

ALL = DeliverySearch(groups=tuple(DeliveryGroup))
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

    def test_copies_are_no_part_of_the_lag(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_end()], Teller((ARCHIVE, ""), ("automation", "")))
        [copies] = due(store, queue=(ARCHIVE, ""))
        store.commit([make_attempt(copies, at=NOW + 61)], nobody)
        assert store.delivery_lags(NOW) == []

    def test_snapshots_of_many_tasks_are_read_together_except_long_ones(self, store: Store) -> None:
        add(store, "a", "b", "long")
        huge = VIDEO._replace(message="x" * page_reads.MOST_SNAPSHOT)
        store.commit([make_end(key("a")), make_end(key("long"), snapshot=huge)], nobody)
        ids = {view.task_id: view.watch_id for view in store.list_watches()}
        assert store.snapshots_by_id([*ids.values(), 999_999]) == {ids["a"]: VIDEO}
        assert store.snapshots_by_id([]) == {}

    def test_dead_deliveries_come_with_the_last_answer_of_each_endpoint(self, store: Store) -> None:
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
        assert store.dead_deliveries() == [DeadDeliveries("automation", 2, NOW + 70, NOW + 80, 10, "HTTP 503")]

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

    def test_a_result_that_expires_before_the_next_attempt_is_found(self, store: Store) -> None:
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


def names(views: Iterable[WatchView | DeliveryView]) -> list[str]:
    return [view.task_id for view in views]


def tasks(store: Store, wanted: WatchFilter = EVERY_WATCH, *, before: int | None = None, limit: int = 50) -> list[str]:
    return names(store.task_page(wanted, before=before, limit=limit))


class TestTasks:
    @pytest.fixture
    def store(self, store: Store) -> Store:
        store.add([make_wish(task_id="a-1", label="A lion")], source="cli", now=NOW)
        store.add([make_wish(task_id="a-2", account="suno", label="a Lion runs")], source="cli", now=NOW + 10)
        store.add([make_wish(task_id="b-3")], source="cli", now=NOW + 20)
        store.add([make_wish(task_id="100%_4", label="映画")], source="cli", now=NOW + 30)
        store.commit(
            [make_end(key("a-1"), at=NOW + 60), make_end(key("b-3"), phase=Phase.FAILED, at=NOW + 70)], Teller()
        )
        return store

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (EVERY_WATCH, ["100%_4", "b-3", "a-2", "a-1"]),
            (WatchFilter(phases=(Phase.FAILED, Phase.SUCCEEDED)), ["b-3", "a-1"]),
            (WatchFilter(account="suno"), ["a-2"]),
            (WatchFilter(account="kling", phases=(Phase.FAILED, Phase.SUBMITTED)), ["100%_4", "b-3"]),
            (WatchFilter(account="nobody"), []),
            (WatchFilter(label="A lion"), ["a-1"]),
            (WatchFilter(label="A lion", phases=(Phase.FAILED,)), []),
            (WatchFilter(label="a lion"), []),
            (WatchFilter(since=NOW + 65), ["b-3"]),
            (WatchFilter(since=NOW + 20, account="kling"), ["100%_4", "b-3", "a-1"]),
            (WatchFilter(text="a-"), ["a-2", "a-1"]),
            (WatchFilter(text="a lion"), ["a-2", "a-1"]),
            (WatchFilter(text="映"), ["100%_4"]),
            (WatchFilter(text="suno/a"), ["a-2"]),
            (WatchFilter(text="A LION", account="suno"), ["a-2"]),
            (WatchFilter(text="runs"), ["a-2"]),
            (WatchFilter(text="ing/b"), ["b-3"]),
            (WatchFilter(text="%"), ["100%_4"]),
            (WatchFilter(text="100%_"), ["100%_4"]),
            (WatchFilter(text="zebra"), []),
            (WatchFilter(text="'\0"), []),
            (WatchFilter(text=""), ["100%_4", "b-3", "a-2", "a-1"]),
        ],
    )
    def test_every_filter_narrows_the_list(self, store: Store, wanted: WatchFilter, expected: list[str]) -> None:
        assert tasks(store, wanted) == expected

    @pytest.mark.parametrize("name", WatchFilter._fields)
    def test_every_list_applies_every_field_of_a_filter(self, store: Store, name: str) -> None:
        others = WatchFilter(phases=(Phase.CANCELED,), account="nobody", label="x", since=NOW + 80, text="zebra")
        wanted = WatchFilter(**{name: getattr(others, name)})
        assert (store.list_watches(wanted), store.last_finished(wanted, limit=9), tasks(store, wanted)) == ([], [], [])

    def test_the_id_of_an_event_finds_its_task(self, store: Store) -> None:
        [event_id] = [one.event_id for one in store.list_deliveries() if one.task_id == "b-3"]
        assert tasks(store, WatchFilter(text=event_id)) == ["b-3"]

    @pytest.mark.parametrize(
        "wanted", [EVERY_WATCH, WatchFilter(phases=tuple(Phase)), WatchFilter(account="kling"), WatchFilter(text="-")]
    )
    def test_pages_follow_each_other(self, store: Store, wanted: WatchFilter) -> None:
        found: list[str] = []
        before = None
        while True:
            page = store.task_page(wanted, before=before, limit=1)
            found += names(page)
            before = page.next_before
            if before is None:
                break
            add(store, f"later-{len(found)}")
        assert found == tasks(store, wanted, before=store.view(key("100%_4")).watch_id + 1)

    def test_a_page_reads_a_limited_number_of_rows_and_the_next_continues(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page_reads, "SCANNED", 2)
        wanted = WatchFilter(text="ion")
        first = store.task_page(wanted, limit=50)
        assert names(first) == ["a-2"]
        second = store.task_page(wanted, before=first.next_before, limit=50)
        assert (names(second), second.next_before) == (["a-1"], None)
        assert first.next_before is not None

    def test_the_last_finished_come_first_without_the_withdrawn(self, store: Store) -> None:
        store.withdraw([WatchKey("suno", "a-2")], now=NOW + 80)
        assert names(store.finished_watches(limit=1)) == ["b-3"]
        assert names(store.finished_watches(limit=9)) == ["b-3", "a-1"]

    def test_of_tasks_that_finished_together_the_last_added_is_first(self, store: Store) -> None:
        add(store, "c", "d")
        store.commit([make_end(key("c"), at=NOW + 70), make_end(key("d"), at=NOW + 70)], nobody)
        assert names(store.finished_watches(limit=3)) == ["d", "c", "b-3"]

    def test_live_tasks_say_what_an_estimate_needs(self, store: Store) -> None:
        live = sorted(store.live_watches())
        assert [(one.account, one.added_at) for one in live] == [("suno", NOW + 10), ("kling", NOW + 30)]
        ids = [one.watch_id for one in live]
        assert names(store.watches_by_id([*ids, 999])) == ["a-2", "100%_4"]


class TestDeliveries:
    @pytest.fixture
    def store(self, store: Store) -> Store:
        """A store with four deliveries of four tasks: dead, waiting, waiting at a disabled endpoint, and accepted."""
        add(store, "dead-1", "dead-2", "wait-1", "wait-2", "done-1", "done-2")
        store.add([make_wish(task_id="held-1", label="Lion")], source="cli", now=NOW)
        for place, name in enumerate(("dead-1", "dead-2", "wait-1", "wait-2", "done-1", "done-2")):
            store.commit([make_end(key(name), at=NOW + place)], Teller())
        store.commit([make_end(key("held-1"), phase=Phase.FAILED, at=NOW + 9)], Teller(("chat", "0")))
        for delivery in due(store):
            at = NOW + 100 + delivery.delivery_id
            made = make_attempt(delivery, at=at)
            if delivery.subject.startswith("dead"):
                store.commit([replace(made, state=DeliveryState.DEAD, outcome="deferred", attempts=10)], nobody)
            elif delivery.subject.startswith("done"):
                store.commit([made], nobody)
        [held] = due(store, queue=("chat", "0"))
        gone = make_deferred(held, next_attempt_at=NOW, outcome="refused", detail="HTTP 410", disables=True, target="0")
        store.commit([gone], nobody)
        return store

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (DeliverySearch(), ["dead-2", "dead-1", "held-1", "wait-1", "wait-2"]),
            (DeliverySearch(groups=(DeliveryGroup.ACCEPTED,)), ["done-2", "done-1"]),
            (
                DeliverySearch(groups=(DeliveryGroup.ACCEPTED, DeliveryGroup.DEAD)),
                ["dead-2", "dead-1", "done-2", "done-1"],
            ),
            (DeliverySearch(groups=(DeliveryGroup.OFF,)), ["held-1"]),
            (DeliverySearch(groups=(DeliveryGroup.CANCELED,)), []),
            (DeliverySearch(endpoint="automation"), ["dead-2", "dead-1", "wait-1", "wait-2"]),
            (DeliverySearch(endpoint="chat"), ["held-1"]),
            (DeliverySearch(topic="task_failed"), ["held-1"]),
            (ALL._replace(topic="task_succeeded", since=NOW + 1), ["dead-2", "wait-1", "wait-2", "done-2", "done-1"]),
            (DeliverySearch(text="dead"), ["dead-2", "dead-1"]),
            (DeliverySearch(text="lion"), ["held-1"]),
            (ALL._replace(text="d", endpoint="automation"), ["dead-2", "dead-1", "done-2", "done-1"]),
            (DeliverySearch(text="wait"), ["wait-1", "wait-2"]),
            (DeliverySearch(text="zebra"), []),
        ],
    )
    def test_every_filter_narrows_and_the_worst_come_first(
        self, store: Store, wanted: DeliverySearch, expected: list[str]
    ) -> None:
        page = store.delivery_page(wanted, limit=50, now=NOW + 200)
        assert names(view for _, view in page.views) == expected
        assert page.next_after is None
        counts = store.count_deliveries(wanted, now=NOW + 200)
        assert sum(count.number for count in counts.values()) == len(expected)
        found, after = [], None
        while True:
            page = store.delivery_page(wanted, after=after, limit=1, now=NOW + 200)
            found += names(view for _, view in page.views)
            after = page.next_after
            if after is None:
                break
        assert found == expected

    def test_the_id_of_an_event_finds_its_deliveries(self, store: Store) -> None:
        [event_id] = [one.event_id for one in store.list_deliveries() if one.task_id == "wait-2"]
        [(group, view)] = store.delivery_page(DeliverySearch(text=event_id), limit=9, now=NOW).views
        assert (group, view.event_id) == (DeliveryGroup.WAITING, event_id)

    def test_the_deliveries_of_a_paused_endpoint_are_held(self, store: Store) -> None:
        store.pause(PauseOf.ENDPOINT, "automation", now=NOW, until_at=NOW + 300)
        held = DeliverySearch(groups=(DeliveryGroup.OFF,))
        assert store.count_deliveries(held, now=NOW + 200) == {DeliveryGroup.OFF: BoundedCount(3, False)}
        assert store.count_deliveries(held, now=NOW + 400) == {DeliveryGroup.OFF: BoundedCount(1, False)}

    def test_a_page_reads_a_limited_number_of_rows_and_the_next_continues(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page_reads, "SCANNED", 1)
        wanted = DeliverySearch(groups=(DeliveryGroup.DEAD, DeliveryGroup.ACCEPTED), endpoint="chat")
        pages, after = 0, None
        while True:
            page = store.delivery_page(wanted, after=after, limit=9, now=NOW + 200)
            assert page.views == []
            pages, after = pages + 1, page.next_after
            if after is None:
                break
        assert pages > 1
        wanted = wanted._replace(endpoint="automation")
        assert store.count_deliveries(wanted, now=NOW)[DeliveryGroup.DEAD].is_more

    def test_the_deliveries_of_many_tasks_are_read_at_once(self, store: Store) -> None:
        ids = {view.watch_id: view.task_id for view in store.list_watches()}
        found = store.deliveries_by_watch([*ids, 999])
        assert {ids[watch_id]: names(views) for watch_id, views in found.items()} == {
            name: [name] for name in ids.values()
        }
        assert store.deliveries_by_watch([]) == {}
