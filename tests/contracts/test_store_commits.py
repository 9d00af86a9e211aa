"""What every store must do, on every engine: `ports.Commits`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.domain.account_state import AccountState, RouteWait
from bridge.domain.change import AccountAskedToWait, AnswerUnread, Change, Note
from bridge.domain.delivery import Delivery
from bridge.domain.event import Event, Parcel
from bridge.domain.ids import WatchKey, event_id
from bridge.domain.task import ENDS, Phase, ReadingKind, Snapshot
from bridge.domain.watch import Memory
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import (
    KEY,
    QUEUE,
    VIDEO,
    Teller,
    add,
    due,
    facts,
    make_attempt,
    make_block,
    make_end,
    make_note,
    make_progress,
    nobody,
    state_of,
    whole,
)

pytestmark = pytest.mark.usefixtures("unmeasured")


class TestTaskChanges:
    def test_a_transition_its_event_and_its_deliveries_are_committed_together(self, store: Store) -> None:
        store.add([make_wish(label="lion", meta={"n": 1}, endpoints=("chat",))], source="cli", now=NOW)
        tell = Teller(QUEUE, ("chat", "tgram"), ("chat", "mail"))
        assert store.commit([make_end()], tell) == [True]
        [event] = tell.events
        assert event.event_id == event_id("task_succeeded", "kling", "task-1", 1)
        assert (event.data["label"], event.data["meta"], event.endpoints) == ("lion", {"n": 1}, ("chat",))
        assert event.data["urls"] == ["https://cdn.example.com/v1.mp4"]
        [delivery] = due(store)
        assert delivery == Delivery(
            delivery_id=delivery.delivery_id,
            event_id=event.event_id,
            endpoint="automation",
            target="",
            topic="task_succeeded",
            account="kling",
            subject="task-1",
            attempts=0,
            body=f"task_succeeded {event.event_id}".encode(),
            created_at=event.occurred_at,
            address=f"/of/{event.event_id}",
        )
        assert store.queues() == [("automation", ""), ("chat", "mail"), ("chat", "tgram")]
        watch = whole(store)
        assert (watch.state.memory.phase, watch.ended_at, watch.snapshot) == (Phase.SUCCEEDED, NOW + 60, VIDEO)
        assert (watch.state.next_poll_at, watch.state.memory.polls) == (None, 9)

    @pytest.mark.parametrize("first", sorted(ENDS))
    def test_the_first_finish_wins(self, store: Store, first: Phase) -> None:
        add(store, "task-1")
        tell = Teller()
        later = [make_end(phase=phase) for phase in sorted(ENDS)]
        assert store.commit([make_end(phase=first), *later], tell) == [True] + [False] * len(later)
        assert store.commit([*later, make_progress(10)], tell) == [False] * (len(later) + 1)
        assert tell.topics == [f"task_{first}"]
        assert state_of(store).memory.phase is first

    def test_a_change_based_on_an_outdated_state_does_nothing_and_sends_nothing(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.withdraw([WatchKey("kling", "b")], now=NOW)
        tell = Teller()
        unknown, withdrawn = make_end(WatchKey("kling", "unknown")), make_end(WatchKey("kling", "b"))
        older = replace(make_end(), note=make_note(generation=0, memory=Memory(phase=Phase.SUCCEEDED)))
        assert store.commit([unknown, withdrawn, older], tell) == [False, False, False]
        assert tell.events == []
        assert store.queues() == []

    def test_a_change_of_an_earlier_generation_does_not_end_the_new_one(self, store: Store) -> None:
        add(store, "task-1")
        tell = Teller()
        store.commit([make_end()], tell)
        add(store, "task-1", again=True)
        assert store.commit([make_end()], tell) == [False]
        second = replace(make_end(), note=make_end().note._replace(generation=2))
        assert store.commit([second], tell) == [True]
        assert len({event.event_id for event in tell.events}) == 2

    def test_a_change_without_an_event_still_updates_the_watch(self, store: Store) -> None:
        add(store, "task-1")
        quiet = replace(make_progress(5), topic=None)
        assert store.commit([quiet, make_end()], nobody) == [True, True]
        assert state_of(store).memory.phase is Phase.SUCCEEDED
        assert store.queues() == []
        assert facts(store) == [("added", "cli"), ("running", ""), ("succeeded", "")]

    def test_answers_noted_after_the_finish_are_counted(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.commit([make_end()], Teller())
        store.withdraw([WatchKey("kling", "b")], now=NOW)
        store.note([make_note(), make_note(WatchKey("kling", "b"))])
        counted = [(one.kind, one.times) for one in store.details(KEY).readings]
        assert counted == [(ReadingKind.RUNNING, 1), (ReadingKind.SUCCEEDED, 1)]
        assert facts(store) == [("added", "cli"), ("succeeded", "")]
        assert store.details(WatchKey("kling", "b")).readings == ()

    def test_a_finish_cancels_waiting_deliveries_about_the_running_task(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_progress(10), make_progress(20)], Teller())
        [running] = due(store)
        store.commit([make_attempt(running)], nobody)
        store.commit([make_progress(30), make_end()], Teller())
        assert [(one.topic, one.state) for one in store.deliveries_of(KEY)] == [
            ("task_progress", "accepted"),
            ("task_progress", "canceled"),
            ("task_progress", "canceled"),
            ("task_succeeded", "waiting"),
        ]

    @pytest.mark.parametrize("is_late", [False, True])
    def test_a_canceled_delivery_that_was_accepted_all_the_same_is_accepted(self, store: Store, is_late: bool) -> None:
        add(store, "task-1")
        store.commit([make_progress(10)], Teller())
        [running] = due(store)
        changes: list[Change] = [make_end(), make_attempt(running)]
        if is_late:
            store.commit([changes.pop(0)], Teller())
        assert store.commit(changes, Teller())[-1]
        assert [(one.state, one.attempts) for one in store.deliveries_of(KEY)] == [("accepted", 1), ("waiting", 0)]
        assert store.commit([make_attempt(running)], nobody) == [False]

    def test_a_snapshot_stays_until_a_newer_one_comes(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_progress(30)], nobody)
        store.commit([replace(make_end(phase=Phase.TIMED_OUT), snapshot=None, reason="too late")], nobody)
        watch = whole(store)
        assert watch.snapshot == Snapshot(status="processing", progress=30)
        assert watch.reason == "too late"

    @pytest.mark.parametrize("odd", [2**70, -(2**63), 1e308, "\ud83d", "nul\0byte", {"1": [[]]}, None])
    def test_whatever_a_provider_puts_into_a_result_can_be_kept(self, store: Store, odd: object) -> None:
        add(store, "task-1")
        snapshot = Snapshot(result={"files": [{"odd": odd}]}, kept={"input": {"odd": odd}})
        assert store.commit([replace(make_end(), snapshot=snapshot, reason="a\ud800b")], nobody) == [True]
        watch = whole(store)
        assert watch.snapshot == snapshot
        assert watch.reason == "a?b"

    def test_an_exception_while_rendering_an_event_is_raised_and_nothing_is_applied(self, store: Store) -> None:
        add(store, "task-1", "bad")

        def tell(event: Event) -> Sequence[Parcel]:
            if event.subject == "bad":
                raise ZeroDivisionError
            return Teller()(event)

        bad = make_end(WatchKey("kling", "bad"))
        with pytest.raises(ZeroDivisionError):
            store.commit([make_end(), bad], tell)
        assert store.counts().live == 2
        assert store.commit([make_end()], tell) == [True]

    def test_nothing_to_commit_is_no_work(self, store: Store) -> None:
        assert store.commit([], Teller()) == []


class TestUnreadAnswers:
    def saw(self, word: str, *, account: str = "kling", answers: int = 1, at: float = NOW) -> AnswerUnread:
        return AnswerUnread(account=account, word=word, reason=f"unknown {word}", answers=answers, at=at)

    def test_an_unknown_word_is_reported_once_and_its_answers_are_counted(self, store: Store) -> None:
        tell = Teller()
        changes = [self.saw("odd"), self.saw("odd", answers=7, at=NOW + 60), self.saw("odd", account="other")]
        assert store.commit(changes, tell) == [True, False, True]
        assert store.commit([self.saw("odd", at=NOW + 90_000)], tell) == [False]
        assert [(event.topic, event.account) for event in tell.events] == [
            ("unknown_status", "kling"),
            ("unknown_status", "other"),
        ]
        assert tell.events[0].data["reason"] == "unknown odd"
        first, second = store.counts().unread
        assert (first.account, first.word, first.answers, first.last_at) == ("kling", "odd", 9, NOW + 90_000)
        assert (second.account, second.answers, second.told_at) == ("other", 1, NOW)

    def test_at_most_five_unknown_words_a_day_and_account_are_reported(self, store: Store) -> None:
        tell = Teller()
        store.commit([self.saw(f"w{number}", at=NOW + number) for number in range(8)], tell)
        assert len(tell.events) == 5
        assert [view.told_at for view in store.counts().unread] == [None] * 3 + [NOW + 4 - n for n in range(5)]
        store.commit([self.saw("next day", at=NOW + 86_500), self.saw("x", account="other")], tell)
        assert len({event.event_id for event in tell.events}) == 7

    def test_unknown_words_are_limited_in_number_and_deleted_after_a_time(self, store: Store) -> None:
        store.commit([self.saw(f"w{number}") for number in range(130)], nobody)
        views = store.counts().unread
        assert len(views) == 101
        assert next(view.answers for view in views if view.word == "(others)") == 30
        store.prune(now=NOW + 1000, ended_s=500, delivered_s=500, dead_s=500, limit=1000)
        assert store.counts().unread == []


class TestAnsweredActions:
    def test_only_actions_that_the_provider_has_answered_count(self, store: Store) -> None:
        for task_id, action in (("a", "one"), ("b", "two"), ("c", None), ("d", "three")):
            store.add([make_wish(task_id=task_id, action=action)], source="cli", now=NOW)
        kinds = {"a": ReadingKind.RUNNING, "b": ReadingKind.NO_ROUTE, "c": ReadingKind.PENDING}
        store.note([replace_kind(make_note(WatchKey("kling", task_id)), kind) for task_id, kind in kinds.items()])
        assert store.answered_actions("kling") == {"one", None}
        assert store.answered_actions("other") == frozenset()


def replace_kind(note: Note, kind: ReadingKind) -> Note:
    return note._replace(kind=kind)


class TestAccounts:
    def test_a_block_and_its_end_are_reported_once_each(self, store: Store) -> None:
        tell = Teller()
        assert store.commit([make_block(), make_block()], tell) == [True, False]
        assert store.accounts() == {
            "kling": AccountState(account="kling", blocked_at=NOW, reason="401: key revoked", count=1)
        }
        restored = make_block(blocked=False, blocked_s=90.0, at=NOW + 90)
        assert store.commit([restored, restored], tell) == [True, False]
        assert store.commit([make_block()], tell) == [False]
        state = store.accounts()["kling"]
        assert (state.blocked_at, state.count, state.blocked_s) == (None, 1, 90.0)
        assert tell.topics == ["account_blocked", "account_restored"]
        assert store.commit([make_block(count=2, at=NOW + 200)], tell) == [True]
        assert len({event.event_id for event in tell.events}) == 3
        assert [delivery.topic for delivery in due(store)] == tell.topics

    def test_a_restored_account_that_was_not_blocked_causes_no_event(self, store: Store) -> None:
        tell = Teller()
        assert store.commit([make_block(blocked=False)], tell) == [False]
        assert tell.events == []

    def test_a_pause_is_remembered(self, store: Store) -> None:
        pauses = [AccountAskedToWait(account="kling", until_at=NOW + until) for until in (30, 60)]
        assert store.commit(pauses, nobody) == [True, True]
        store.commit([make_block()], nobody)
        state = store.accounts()["kling"]
        assert (state.wait_until_at, state.blocked_at) == (NOW + 60, NOW)

    def test_a_held_route_is_stored_together_with_the_others(self, store: Store) -> None:
        def held(route: str, for_s: float, reason: str) -> AccountAskedToWait:
            return AccountAskedToWait(account="kling", until_at=NOW + for_s, route=route, reason=reason)

        store.commit([held("a/b", 60, "503"), held("c/d", 9, "500"), held("a/b", 30, "a shorter one")], nobody)
        store.commit([held("", 20, "502")], nobody)
        [state] = store.accounts().values()
        assert state == AccountState(
            account="kling",
            route_waits=(
                RouteWait(route="", until_at=NOW + 20, reason="502"),
                RouteWait(route="a/b", until_at=NOW + 60, reason="503"),
                RouteWait(route="c/d", until_at=NOW + 9, reason="500"),
            ),
        )
        store.commit([make_block(), AccountAskedToWait(account="kling", until_at=0, route="a/b")], nobody)
        state = store.accounts()["kling"]
        assert state.blocked_at == NOW
        assert [wait.until_at for wait in state.route_waits] == [NOW + 20, 0, NOW + 9]
        store.prune(now=NOW + 1, ended_s=9e9, delivered_s=9e9, dead_s=9e9, limit=9)
        assert [wait.route for wait in store.accounts()["kling"].route_waits] == ["", "c/d"]

    @pytest.mark.parametrize(
        ("before_s", "left_s"), [pytest.param(60, 60, id="longer"), pytest.param(9000, 30, id="by a wrong clock")]
    )
    def test_a_shorter_pause_does_not_shorten_the_pause_of_another_daemon(
        self, store: Store, before_s: float, left_s: float
    ) -> None:
        store.commit([AccountAskedToWait(account="kling", until_at=NOW + before_s)], nobody)
        store.commit([AccountAskedToWait(account="kling", until_at=NOW + 30)], nobody)
        assert store.accounts()["kling"].wait_until_at == NOW + left_s
