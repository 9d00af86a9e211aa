"""What every store must do, whichever engine keeps it: `views.Views` and `views.Asks`, the commands' side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bridge.domain.delivery_state import NOT_CHECKED, DeliveryState
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import Kind, Phase
from bridge.domain.views import DeliveryView, StoreGauges, Touched, Unchecked, WatchView
from bridge.errors import OutdatedError, UnknownError
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import (
    KEY,
    QUEUE,
    Teller,
    add,
    due,
    facts,
    make_attempt,
    make_block,
    make_deferred,
    make_end,
    make_note,
    make_progress,
    nobody,
    state_of,
)

B = WatchKey("kling", "b")


def ids(found: Iterable[WatchView | DeliveryView]) -> list[str]:
    return [view.task_id for view in found]


class TestLists:
    def test_a_watch_is_listed_with_all_that_list_shows(self, store: Store) -> None:
        store.add([make_wish(label="lion", meta={"n": 1}, action="videos/text2video")], source="cli", now=NOW)
        store.commit([replace(make_end(), reason="done")], nobody)
        assert store.list_watches() == [
            WatchView(
                watch_id=store.list_watches()[0].watch_id,
                account="kling",
                task_id="task-1",
                action="videos/text2video",
                label="lion",
                meta={"n": 1},
                phase=Phase.SUCCEEDED,
                added_at=NOW,
                ended_at=NOW + 60,
                next_poll_at=None,
                polls=9,
                progress=None,
                urls=("https://cdn.example.com/v1.mp4",),
                reason="done",
            )
        ]
        assert store.view(KEY) == store.list_watches()[0]

    def test_the_last_added_comes_first_and_every_filter_narrows(self, store: Store) -> None:
        add(store, "a", "b")
        store.add([make_wish(account="suno", task_id="c", label="x")], source="cli", now=NOW)
        store.withdraw([B], now=NOW)
        assert ids(store.list_watches()) == ["c", "b", "a"]
        assert ids(store.list_watches(limit=2)) == ["c", "b"]
        for wanted, expected in (
            (WatchFilter(phases=(Phase.SUBMITTED,)), ["c", "a"]),
            (WatchFilter(phases=(Phase.SUBMITTED, Phase.WITHDRAWN)), ["c", "b", "a"]),
            (WatchFilter(phases=(Phase.SUBMITTED,), account="kling"), ["a"]),
            (WatchFilter(label="x"), ["c"]),
            (WatchFilter(label="y"), []),
        ):
            assert ids(store.list_watches(wanted)) == expected, wanted

    def test_watches_added_or_finished_since_a_time_are_found(self, store: Store) -> None:
        add(store, "task-1", "b", now=NOW)
        add(store, "c", now=NOW + 30)
        store.commit([make_end()], nobody)  # at NOW + 60
        assert ids(store.list_watches(WatchFilter(since=NOW))) == ["c", "b", "task-1"]
        assert ids(store.list_watches(WatchFilter(since=NOW + 30))) == ["c", "task-1"]
        assert ids(store.list_watches(WatchFilter(since=NOW + 60))) == ["task-1"]
        assert ids(store.list_watches(WatchFilter(since=NOW + 61))) == []

    def test_the_watches_that_finished_last_come_first(self, store: Store) -> None:
        add(store, *"abcd", now=NOW)
        store.commit([make_end(WatchKey("kling", "c"), at=NOW + 60), make_end(B, at=NOW + 90)], nobody)
        store.withdraw([WatchKey("kling", "a")], now=NOW + 70)
        found = store.last_finished(WatchFilter(), limit=9)
        assert (ids(found), found.next_before) == (["b", "a", "c"], None)
        assert ids(store.last_finished(WatchFilter(phases=(Phase.SUCCEEDED,)), limit=9)) == ["b", "c"]
        found = store.last_finished(WatchFilter(), limit=2)
        assert ids(found) == ["b", "a"]
        assert found.next_before is not None

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("LION", ["a_1"]),
            ("suno", ["b%2"]),
            ("kling/a", ["a_1"]),
            ("_", ["a_1"]),
            ("%", ["b%2"]),
            ("!", ["c!3"]),
            ("映", ["c!3"]),
            ("", ["c!3", "b%2", "a_1"]),
            ("'", []),
        ],
    )
    def test_a_text_is_found_in_account_id_and_label(self, store: Store, text: str, expected: list[str]) -> None:
        wishes = [make_wish(task_id="a_1", label="A lion"), make_wish(task_id="b%2", account="suno")]
        store.add([*wishes, make_wish(task_id="c!3", label="映画")], source="cli", now=NOW)
        assert ids(store.list_watches(WatchFilter(text=text))) == expected

    def test_pages_of_watches_stay_the_same_while_others_come_and_go(self, store: Store) -> None:
        add(store, *"abcde", now=0)
        first = store.list_watches(limit=2)
        assert (ids(first), first.next_before) == (["e", "d"], first[-1].watch_id)
        add(store, "f", now=0)
        store.withdraw([WatchKey("kling", "e"), WatchKey("kling", "c")], now=1)
        assert store.prune(now=1e9, ended_s=1, delivered_s=1, dead_s=1, limit=9) == 2
        second = store.list_watches(before=first.next_before, limit=2)
        assert (ids(second), second.next_before) == (["b", "a"], None)
        assert store.list_watches().next_before is None
        assert store.list_watches(limit=9).next_before is None
        assert store.list_watches(limit=4).next_before is None

    def test_deliveries_are_listed_newest_first_and_every_filter_narrows(self, store: Store) -> None:
        add(store, "task-1", "b", now=NOW)
        store.commit([make_end(), make_end(B, at=NOW + 90)], Teller())
        store.commit([make_attempt(due(store)[0])], nobody)
        store.commit([make_block(at=NOW + 99)], Teller(("chat", "")))
        blocked, second, first = store.list_deliveries()
        assert [(one.task_id, one.state) for one in (second, first)] == [("b", "waiting"), ("task-1", "accepted")]
        for wanted, expected in (
            (DeliveryFilter(states=(DeliveryState.ACCEPTED,)), [first]),
            (DeliveryFilter(states=(DeliveryState.ACCEPTED, DeliveryState.WAITING)), [blocked, second, first]),
            (DeliveryFilter(states=(DeliveryState.DEAD,)), []),
            (DeliveryFilter(event_ids=(second.event_id, "evt_unknown")), [second]),
            (DeliveryFilter(event_ids=("evt_unknown",)), []),
            (DeliveryFilter(endpoint="chat"), [blocked]),
            (DeliveryFilter(topic="task_succeeded"), [second, first]),
            (DeliveryFilter(watch=B), [second]),
            (DeliveryFilter(watch=WatchKey("kling", "nobody")), []),
            (DeliveryFilter(since=NOW + 90), [blocked, second]),
            (DeliveryFilter(since=NOW + 90, endpoint="automation"), [second]),
        ):
            assert store.list_deliveries(wanted) == expected, wanted

    def test_pages_of_deliveries_continue_where_the_last_one_ended(self, store: Store) -> None:
        add(store, *"abc")
        store.commit([make_end(WatchKey("kling", name)) for name in "abc"], Teller())
        first = store.list_deliveries(limit=2)
        assert (ids(first), first.next_before) == (["c", "b"], first[-1].delivery_id)
        store.commit([make_block()], Teller())
        second = store.list_deliveries(before=first.next_before, limit=2)
        assert (ids(second), second.next_before) == (["a"], None)

    def test_deliveries_are_listed_with_their_attempts_on_request(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_end()], Teller())
        store.commit([make_attempt(due(store)[0])], nobody)
        assert store.list_deliveries()[0].made == ()
        assert [one.outcome for one in store.list_deliveries(attempts=True)[0].made] == ["accepted"]
        assert store.list_deliveries(attempts=True) == store.deliveries_of(KEY)

    def test_a_missing_watch_is_unknown(self, store: Store) -> None:
        assert store.find("task-1") == []
        assert store.deliveries_of(KEY) == []
        with pytest.raises(UnknownError, match="no watch of task task-1 at account kling"):
            store.details(KEY)
        with pytest.raises(UnknownError):
            store.view(KEY)


class TestUnchecked:
    def test_deliveries_accepted_in_doubt_are_counted_by_endpoint_with_the_last_reason(self, store: Store) -> None:
        keys = [one.key for one in add(store, "a", "b", "c", "d")]
        for place, key in enumerate(keys):
            store.commit([make_end(key)], Teller(QUEUE, ("chat", "1:x")))
            [delivery] = due(store)
            detail = f"HTTP 200{NOT_CHECKED}reason {place}" if place < 3 else "HTTP 200"
            store.commit([make_attempt(delivery, at=NOW + place, detail=detail)], nobody)
        assert store.unchecked(since=NOW + 1) == [
            Unchecked(endpoint=QUEUE[0], deliveries=2, last_at=NOW + 2, reason="reason 2")
        ]
        assert store.unchecked(since=NOW + 4) == []


class TestCountDue:
    def test_it_counts_only_the_due_polls_of_this_account(self, store: Store) -> None:
        for task_id in ("task-1", "never asked", "later", "asked for", "over"):
            add(store, task_id)
        store.add([make_wish(task_id="elsewhere", account="other")], source="cli", now=NOW)
        store.note([make_note(at=NOW + 1, next_poll_at=NOW + 10)])
        for task_id in ("later", "asked for"):
            key = WatchKey(KEY.account, task_id)
            store.note([make_note(key=key, at=NOW + 1, next_poll_at=NOW + 1000)])
        store.poll_now([WatchKey(KEY.account, "asked for")], now=NOW + 2)
        store.commit([make_end(key=WatchKey(KEY.account, "over"))], Teller())
        assert store.count_due(KEY.account, NOW + 9) == 2
        assert store.count_due(KEY.account, NOW + 10) == 3
        assert store.count_due(KEY.account, NOW + 1000) == 4


class TestStory:
    def test_a_reader_answers_everything_in_order(self, store: Store) -> None:
        add(store, "task-1")
        add(store, "task-1", source="queue", now=NOW + 1)
        store.note([make_note(kind=Kind.TRANSIENT, detail="502", at=NOW + 2)])
        store.poll_now([KEY], now=NOW + 3)
        store.commit([make_progress(50), make_end()], Teller())
        store.commit([make_deferred(due(store)[0], next_attempt_at=NOW + 99)], nobody)
        story = store.details(KEY)
        assert story.sources == ("cli", "queue")
        assert [(fact.at, fact.what, fact.detail) for fact in story.history] == [
            (NOW, "added", "cli"),
            (NOW + 1, "named", "queue"),
            (NOW + 2, "running", "502"),
            (NOW + 3, "poll asked", "by command"),
            (NOW + 60, "succeeded", ""),
        ]
        assert [(one.kind, one.times) for one in story.readings] == [
            (Kind.TRANSIENT, 1),
            (Kind.RUNNING, 1),
            (Kind.SUCCEEDED, 1),
        ]
        assert [(one.topic, one.state, len(one.made)) for one in story.deliveries] == [
            ("task_progress", "canceled", 0),
            ("task_succeeded", "waiting", 1),
        ]
        assert story.watch.snapshot is not None
        assert story.watch.snapshot.refused == ("ftp://cdn.example.com/v1.mp4: scheme",)


class TestCounts:
    def test_an_empty_store_counts_nothing(self, store: Store) -> None:
        counts = store.counts()
        assert (counts.live, counts.waiting, counts.dead, counts.timed_out) == (0, 0, 0, 0)
        assert (counts.watches, counts.oldest_waiting_at, counts.blocked, counts.disabled) == ({}, None, {}, {})

    def test_the_whole_store_in_figures(self, store: Store) -> None:
        add(store, "task-1", "b", "c", "d")
        store.note([make_note(WatchKey("kling", "c"))])
        store.commit([make_end(), make_end(B, phase=Phase.TIMED_OUT, at=NOW + 70)], Teller(QUEUE, ("chat", "")))
        first, second = due(store)
        store.commit([make_attempt(first, state=DeliveryState.DEAD, outcome="deferred"), make_block()], nobody)
        store.commit([make_deferred(second, next_attempt_at=NOW + 999, disables=True)], nobody)
        counts = store.counts()
        assert counts.watches == {"running": 1, "submitted": 1, "succeeded": 1, "timed_out": 1}
        assert (counts.live, counts.timed_out, counts.waiting, counts.dead) == (2, 1, 3, 1)
        assert counts.waiting_by_endpoint == {"automation": 1, "chat": 2}
        assert counts.dead_by_endpoint == {"automation": 1}
        assert counts.oldest_waiting_at == NOW + 60
        assert counts.blocked == {"kling": "401: key revoked"}
        assert counts.disabled == store.details(KEY).disabled == {"automation": "503"}
        assert store.gauges() == StoreGauges(
            watches={
                ("kling", "submitted"): 1,
                ("kling", "running"): 1,
                ("kling", "succeeded"): 1,
                ("kling", "timed_out"): 1,
            },
            waiting={"automation": 1, "chat": 2},
            dead={"automation": 1},
            oldest_waiting_at={"automation": NOW + 70, "chat": NOW + 60},
            blocked=frozenset({"kling"}),
        )

    def test_deliveries_to_a_disabled_endpoint_have_no_next_attempt(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_end()], Teller(QUEUE, ("chat", "")))
        (first,) = due(store)
        store.commit([make_deferred(first, next_attempt_at=NOW + 999, disables=True)], nobody)
        assert {view.endpoint: view.next_attempt_at for view in store.list_deliveries()} == {
            "automation": None,
            "chat": NOW + 60,
        }
        store.enable("automation")
        assert {view.next_attempt_at for view in store.deliveries_of(KEY)} == {NOW + 60}


class TestAsks:
    def test_withdrawing_ends_a_watch_without_an_event(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.commit([make_end()], nobody)
        unknown = WatchKey("kling", "unknown")
        assert store.withdraw([KEY, B, B, unknown], now=NOW + 9) == [
            Touched(key=KEY, done=False, phase=Phase.SUCCEEDED),
            Touched(key=B, done=True, phase=Phase.WITHDRAWN),
            Touched(key=B, done=False, phase=Phase.WITHDRAWN),
            Touched(key=unknown, done=False, phase=None),
        ]
        assert store.list_deliveries() == []
        assert store.counts().live == 0
        assert facts(store, B) == [("added", "cli"), ("withdrawn", "by command")]

    def test_a_poll_can_be_requested_while_a_watch_is_live(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.note([make_note(B, next_poll_at=NOW + 500)])
        store.commit([make_end()], nobody)
        asked = store.poll_now([B, KEY], now=NOW + 9)
        assert [(one.done, one.phase) for one in asked] == [(True, Phase.RUNNING), (False, Phase.SUCCEEDED)]
        assert state_of(store, B).next_poll_at == NOW + 9

    def ended(self, store: Store) -> Teller:
        """Two ends told at two endpoints: a's at automation is dead, b's is accepted, chat's wait."""
        add(store, "task-1", "b")
        tell = Teller(QUEUE, ("chat", ""))
        store.commit([make_end(at=NOW + 10), make_end(B, at=NOW + 20)], tell)
        first, second = due(store)
        dead = make_attempt(first, state=DeliveryState.DEAD, attempts=10, outcome="deferred")
        store.commit([dead, make_attempt(second)], nobody)
        return tell

    def redeliver(
        self,
        store: Store,
        *event_ids: str,
        dead: bool = False,
        since: float | None = None,
        endpoint: str | None = None,
    ) -> int:
        states = (DeliveryState.DEAD,) if dead else ()
        return store.redeliver(DeliveryFilter(event_ids=event_ids, states=states, since=since, endpoint=endpoint))

    def test_dead_deliveries_can_be_redelivered_unchanged(self, store: Store) -> None:
        tell = self.ended(store)
        assert self.redeliver(store, dead=True) == 1
        [delivery] = due(store)
        assert (delivery.event_id, delivery.attempts) == (tell.events[0].event_id, 0)
        assert delivery.body == f"task_succeeded {delivery.event_id}".encode()
        assert self.redeliver(store, dead=True) == 0
        store.commit([make_attempt(delivery, at=NOW + 1001)], nobody)
        assert due(store) == []

    def test_an_event_can_be_delivered_again_wherever_it_went(self, store: Store) -> None:
        tell = self.ended(store)
        second = tell.events[1].event_id
        assert self.redeliver(store, second, "evt_unknown") == 2
        assert [one.event_id for one in due(store)] == [second]
        assert self.redeliver(store, second, endpoint="chat") == 1

    def test_deliveries_created_since_an_instant_can_be_redelivered(self, store: Store) -> None:
        self.ended(store)
        assert self.redeliver(store, since=NOW + 20, endpoint="automation") == 1
        assert [one.subject for one in due(store)] == ["b"]
        assert self.redeliver(store, since=NOW + 21) == 0
        assert self.redeliver(store, since=NOW, dead=True) == 1

    def test_without_a_filter_nothing_is_redelivered(self, store: Store) -> None:
        self.ended(store)
        assert self.redeliver(store) == 0
        assert self.redeliver(store, endpoint="automation") == 0

    def test_one_topic_can_be_delivered_again(self, store: Store) -> None:
        self.ended(store)
        store.commit([make_block()], Teller())
        assert store.redeliver(DeliveryFilter(topic="account_blocked", states=(DeliveryState.ACCEPTED,))) == 0
        assert store.redeliver(DeliveryFilter(topic="account_blocked")) == 1

    def test_nothing_is_redelivered_when_others_match_than_were_expected(self, store: Store) -> None:
        self.ended(store)
        with pytest.raises(OutdatedError, match="1 deliveries match, not 2"):
            store.redeliver(DeliveryFilter(states=(DeliveryState.DEAD,)), expect=2)
        assert store.counts().dead == 1
        with pytest.raises(OutdatedError, match="0 deliveries match, not 1"):
            store.redeliver(DeliveryFilter(states=(DeliveryState.CANCELED,)), expect=1)
        assert store.redeliver(DeliveryFilter(states=(DeliveryState.DEAD,)), expect=1) == 1
        assert store.counts().dead == 0

    def test_canceled_deliveries_stay_canceled(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_progress(10), make_end()], Teller())
        assert self.redeliver(store, since=0.0) == 1
        assert store.redeliver(DeliveryFilter(states=(DeliveryState.CANCELED,))) == 0
        assert [one.state for one in store.deliveries_of(KEY)] == ["canceled", "waiting"]


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
        assert self.prune(store, now=151) == 2  # the canceled and the accepted one
        assert [one.task_id for one in store.list_deliveries()] == ["c", "b"]
        assert self.prune(store, now=311) == 1
        assert [view.task_id for view in store.list_watches()] == ["d", "c", "b"]
        assert self.prune(store, now=951) == 2  # the dead letter, and then its watch
        assert self.prune(store, now=1e9) == 0
        assert [view.phase for view in store.list_watches()] == ["submitted", "succeeded"]
        assert [one.task_id for one in store.list_deliveries()] == ["c"]

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
