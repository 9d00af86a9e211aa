"""What every store must do, on every engine: deleting what is older than the retention."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.store import Store
from tests.factories import make_wish
from tests.store.making import (
    KEY,
    QUEUE,
    Teller,
    add,
    due,
    make_attempt,
    make_block,
    make_end,
    make_progress,
    nobody,
    state_of,
)


class TestRetention:
    def prune(self, store: Store, *, now: float, limit: int = 500) -> int:
        return store.prune(now=now, ended_s=300, delivered_s=100, dead_s=900, limit=limit)

    def test_only_rows_older_than_the_retention_are_deleted(self, store: Store) -> None:
        add(store, "task-1", "b", "c", "d", now=0)
        ends = [make_end(WatchKey("kling", task_id), at=10) for task_id in ("task-1", "b", "c")]
        store.commit([make_progress(10, at=5)], Teller())
        store.commit(ends, Teller())
        accepted, dead, _ = due(store)
        store.commit([make_attempt(accepted, at=50), make_attempt(dead, at=50, state=DeliveryState.DEAD)], nobody)
        assert self.prune(store, now=109) == 0
        assert self.prune(store, now=151) == 2  # the canceled and the accepted delivery
        assert [one.task_id for one in store.list_deliveries()] == ["c", "b"]
        assert self.prune(store, now=311) == 1
        assert [view.task_id for view in store.list_watches()] == ["d", "c", "b"]
        assert self.prune(store, now=951) == 2  # the dead delivery, and then its watch
        assert self.prune(store, now=1e9) == 0
        assert [view.phase for view in store.list_watches()] == ["submitted", "succeeded"]
        assert [one.task_id for one in store.list_deliveries()] == ["c"]

    def test_retention_counts_from_the_later_of_two_clocks(self, store: Store) -> None:
        add(store, "task-1", now=0)
        tell = Teller()
        store.commit([make_end(at=10)], tell)
        [waiting] = due(store)
        store.commit([make_attempt(waiting, state=DeliveryState.DEAD, at=50, ahead_s=1000)], tell)
        [dead] = store.list_deliveries(attempts=True)
        assert (dead.state, [one.at for one in dead.made]) == ("dead", [1050])
        assert self.prune(store, now=1949) == 0
        assert self.prune(store, now=1951) == 2  # the dead delivery, and then its watch

    def test_a_withdrawn_watch_is_deleted_like_a_finished_one(self, store: Store) -> None:
        add(store, "task-1", now=0)
        store.withdraw([KEY], now=10)
        assert self.prune(store, now=309) == 0
        assert self.prune(store, now=311) == 1
        assert store.list_watches() == []

    def test_a_finished_watch_keeps_its_id_while_a_list_names_it(self, store: Store) -> None:
        wishes = [make_wish(label="lion", meta={"long": "x" * 100})]
        store.sync(wishes, source="watchlist", now=0)
        store.commit([replace(make_end(at=10), reason="why")], nobody)
        assert self.prune(store, now=311) == 1
        assert self.prune(store, now=1e9) == 0
        [view] = store.list_watches()
        assert (view.phase, view.ended_at, view.label, view.meta, view.urls, view.reason) == (
            "succeeded",
            10,
            None,
            {},
            (),
            None,
        )
        story = store.details(KEY)
        assert (story.history, story.readings, story.watch.snapshot) == ((), (), None)
        assert store.sync(wishes, source="watchlist", now=400) == ([], [])
        assert add(store, "task-1")[0].what == "ended"
        assert store.sync([], source="watchlist", now=500) == ([], [])
        assert store.list_watches() == []

    def test_a_tombstone_can_be_watched_again(self, store: Store) -> None:
        store.sync([make_wish()], source="watchlist", now=0)
        store.commit([make_end(at=10)], nobody)
        self.prune(store, now=311)
        assert add(store, "task-1", again=True, now=400)[0].what == "again"
        assert state_of(store).generation == 2
        assert store.sync([], source="watchlist", now=500) == ([], [])
        assert store.counts().live == 1

    def test_one_call_deletes_at_most_what_it_may(self, store: Store) -> None:
        keys = [one.key for one in add(store, *map(str, range(10)), now=0)]
        store.commit([make_end(key, at=10) for key in keys], nobody)
        assert [self.prune(store, now=1000, limit=4) for _ in range(4)] == [4, 4, 2, 0]
        assert store.list_watches() == []

    def test_operator_events_go_with_their_last_delivery(self, store: Store) -> None:
        tell = Teller(QUEUE, ("chat", ""))
        store.commit([make_block(at=10)], tell)
        store.commit([make_attempt(due(store)[0], at=20)], nobody)
        assert self.prune(store, now=200) == 1
        [left] = due(store, queue=("chat", ""))
        assert left.topic == "account_blocked"
        store.commit([make_attempt(left, at=300)], nobody)
        assert self.prune(store, now=500) == 1
        assert store.list_deliveries() == []
