"""What every store must do, on every engine: `views.Views`, what the commands show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bridge.domain.delivery_state import NOT_CHECKED, DeliveryState
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind
from bridge.domain.views import DeliveryView, FailingPolls, Unchecked, WatchView
from bridge.domain.watch import Memory
from bridge.errors import UnknownError
from bridge.store import Store
from tests.factories import NOW, make_wish
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
    make_note,
    make_progress,
    nobody,
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
        first = store.task_page(WatchFilter(), limit=2)
        assert (ids(first), first.next_before) == (["e", "d"], first[-1].watch_id)
        add(store, "f", now=0)
        store.withdraw([WatchKey("kling", "e"), WatchKey("kling", "c")], now=1)
        assert store.prune(now=1e9, ended_s=1, delivered_s=1, dead_s=1, limit=9) == 2
        second = store.task_page(WatchFilter(), before=first.next_before, limit=2)
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


class TestFailingPolls:
    def test_tasks_without_usable_answers_are_counted_by_account(self, store: Store) -> None:
        a, b, c, d = (one.key for one in add(store, "a", "b", "c", "d"))
        for key, failures, at, reason in ((a, 4, NOW + 9, "refused"), (b, 3, NOW + 5, "no answer"), (c, 2, NOW, "x")):
            memory = Memory(polls=failures, failures=failures)
            store.note([make_note(key, at=at, memory=memory, kind=ReadingKind.TRANSIENT, detail=reason)])
        store.note(
            [make_note(b, at=NOW + 6, memory=Memory(polls=4, failures=4), kind=ReadingKind.AMBIGUOUS, detail="?")]
        )
        store.commit([make_end(d)], nobody)
        assert store.failing_polls(least=3) == [FailingPolls("kling", 2, NOW + 9, "refused")]
        store.note([make_note(a, at=NOW + 10, memory=Memory(polls=5), kind=ReadingKind.RUNNING)])
        assert store.failing_polls(least=3) == [FailingPolls("kling", 1, NOW + 6, "?")]


class TestCountDue:
    def test_count_due_counts_only_watches_of_this_account(self, store: Store) -> None:
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
    def test_a_reader_has_every_result_in_order(self, store: Store) -> None:
        add(store, "task-1")
        add(store, "task-1", source="queue", now=NOW + 1)
        store.note([make_note(kind=ReadingKind.TRANSIENT, detail="502", at=NOW + 2)])
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
            (ReadingKind.TRANSIENT, 1),
            (ReadingKind.RUNNING, 1),
            (ReadingKind.SUCCEEDED, 1),
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
        assert counts.disabled == {"automation": "503"}
        phases = ("submitted", "running", "succeeded", "timed_out")
        assert counts.by_account == {("kling", phase): 1 for phase in phases}
        assert counts.live_by_account == {"kling": 2}
        assert counts.oldest_by_endpoint == {"automation": NOW + 70, "chat": NOW + 60}

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
