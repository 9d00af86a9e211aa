"""What every store must do, on every engine: `ports.Watches`."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import pytest

from bridge.domain.filters import WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind
from bridge.domain.watch import Doubt, Memory, WatchState, Wish
from bridge.errors import BridgeBug
from bridge.ports import Added, Commits, Outbox, Watches
from bridge.store import Store
from bridge.store.command_store import CommandStore
from bridge.store.read_store import ReadStore
from tests.factories import NOW, make_wish
from tests.store.making import (
    KEY,
    Teller,
    add,
    due,
    facts,
    make_block,
    make_end,
    make_note,
    make_progress,
    nobody,
    state_of,
    whats,
    whole,
)

pytestmark = pytest.mark.usefixtures("unmeasured")


class TestSlices:
    def test_one_store_object_implements_every_store_interface(self, store: Store) -> None:
        watches: Watches = store
        commits: Commits = store
        outbox: Outbox = store
        views: ReadStore = store
        asks: CommandStore = store
        assert {watches, commits, outbox, views, asks} == {store}


class TestAdding:
    def test_a_new_task_is_watched_from_now_on_and_due_at_once(self, store: Store) -> None:
        wish = make_wish(
            action="videos/text2video",
            label="Löwe",
            meta={"n": 1, "deep": [{"a": None}]},
            endpoints=("chat",),
            give_up_after_s=60.0,
        )
        assert store.add([wish], source="cli", now=NOW) == [Added(key=KEY, what="added", phase="submitted")]
        watch = whole(store)
        assert watch.state == WatchState(
            account="kling",
            task_id="task-1",
            generation=1,
            action="videos/text2video",
            give_up_after_s=60.0,
            added_at=NOW,
            blocked_before_s=0.0,
            next_poll_at=None,
            memory=Memory(),
            revision=1,
        )
        assert (watch.label, watch.meta, watch.endpoints, watch.source) == ("Löwe", wish.meta, ("chat",), "cli")
        assert (watch.ended_at, watch.reason, watch.snapshot) == (None, None, None)

    def test_every_value_of_a_wish_is_stored_and_replaced_by_again(self, store: Store) -> None:
        first = make_wish(action="a", label="lion", meta={"n": 1}, endpoints=("chat",), give_up_after_s=60.0)
        second = make_wish(action="b", label="cat", meta={"n": 2}, endpoints=("hook",), give_up_after_s=90.0)
        for wish in (first, second):
            assert all(getattr(wish, field.name) is not None for field in fields(Wish)), "name every field above"
            store.add([wish], source="cli", now=NOW, again=True)
            watch = whole(store)
            stored = watch.state._asdict() | {field.name: getattr(watch, field.name) for field in fields(watch)}
            assert {field.name: stored[field.name] for field in fields(Wish)} == asdict(wish)
            store.commit([make_end()], Teller())

    def test_adding_a_task_again_keeps_one_watch_with_its_first_values(self, store: Store) -> None:
        store.add([make_wish(label="first", action="a")], source="cli", now=NOW)
        again = [make_wish(label="second", action="b", meta={"x": 1}, endpoints=("chat",))]
        assert whats(store.add(again, source="queue", now=NOW + 5)) == ["known"]
        watch = whole(store)
        assert (watch.label, watch.meta, watch.endpoints, watch.state.action) == ("first", {}, None, "a")
        assert store.details(KEY).sources == ("cli", "queue")

    def test_one_id_twice_in_one_call_is_one_watch(self, store: Store) -> None:
        assert whats(add(store, "a", "a")) == ["added", "known"]

    def test_the_same_id_at_two_accounts_is_two_watches(self, store: Store) -> None:
        store.add([make_wish(account="one"), make_wish(account="two")], source="cli", now=NOW)
        assert [watch.state.account for watch in store.find("task-1", None)] == ["one", "two"]
        assert [watch.state.account for watch in store.find("task-1", "two")] == ["two"]

    @pytest.mark.parametrize(
        "task_id", ["0123", "a/b?c#d", "%2f", "🦁" * 100, "O'Brien; --", "x" * 512, "null", '{a,"b\\"}']
    )
    def test_an_id_that_looks_like_a_number_or_date_stays_text(self, store: Store, task_id: str) -> None:
        key = add(store, task_id)[0].key
        store.commit([make_end(key)], Teller())
        assert [(view.task_id, view.phase) for view in store.list_watches()] == [(task_id, "succeeded")]
        assert due(store)[0].subject == task_id

    def test_adding_a_finished_task_changes_nothing_and_says_so(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_end()], Teller())
        assert add(store, "task-1") == [Added(key=KEY, what="ended", phase="succeeded")]
        assert state_of(store).memory.phase is Phase.SUCCEEDED

    def test_again_starts_a_new_generation_and_keeps_the_history(self, store: Store) -> None:
        store.add([make_wish(label="lion", meta={"a": 1})], source="cli", now=NOW)
        store.commit([make_end(phase=Phase.FAILED, reason="too violent")], Teller())
        assert add(store, "task-1", again=True, now=NOW + 100) == [Added(key=KEY, what="again", phase="submitted")]
        watch, story = whole(store), store.details(KEY)
        assert watch.state == WatchState(
            account="kling",
            task_id="task-1",
            generation=2,
            action=None,
            give_up_after_s=None,
            added_at=NOW + 100,
            blocked_before_s=0.0,
            next_poll_at=None,
            memory=Memory(),
            revision=2,
        )
        assert (watch.ended_at, watch.reason, watch.snapshot) == (None, None, None)
        assert (watch.label, watch.meta) == ("lion", {"a": 1})
        assert story.readings == ()
        assert facts(store) == [("added", "cli"), ("failed", "too violent"), ("again", "cli")]

    def test_again_of_a_live_watch_changes_nothing(self, store: Store) -> None:
        add(store, "task-1")
        assert whats(add(store, "task-1", again=True)) == ["known"]
        assert state_of(store).generation == 1

    def test_a_withdrawn_task_is_watched_again_in_the_same_generation(self, store: Store) -> None:
        add(store, "task-1")
        store.note([make_note()])
        store.withdraw([KEY], now=NOW + 5)
        assert add(store, "task-1", now=NOW + 9) == [Added(key=KEY, what="revived", phase="submitted")]
        state = state_of(store)
        assert (state.generation, state.added_at, state.next_poll_at) == (1, NOW + 9, None)
        assert (state.memory.phase, state.memory.polls) == (Phase.SUBMITTED, 1)
        assert whole(store).ended_at is None

    def test_without_revive_a_withdrawn_task_stays_withdrawn_and_others_are_added(self, store: Store) -> None:
        add(store, "task-1")
        store.withdraw([KEY], now=NOW + 5)
        wishes = [make_wish(), make_wish(task_id="task-2")]
        added = store.add(wishes, source="discover:kling", now=NOW + 9, revive=False)
        assert whats(added) == ["withdrawn", "added"]
        assert whole(store).state.memory.phase is Phase.WITHDRAWN
        assert store.details(KEY).sources == ()

    def test_the_cursor_moves_with_the_tasks_read_up_to_it(self, store: Store) -> None:
        assert store.cursor("lines") is None
        store.add([make_wish()], source="lines", now=NOW, cursor="inode:12")
        store.add([], source="lines", now=NOW, cursor="inode:40")
        assert store.cursor("lines") == "inode:40"
        assert store.cursor("other") is None

    def test_a_watch_knows_how_long_its_account_had_been_blocked(self, store: Store) -> None:
        blocked_for_a_minute = make_block(blocked=False, blocked_s=60.0, at=NOW + 60)
        store.commit([make_block(), blocked_for_a_minute, make_block(count=2, at=NOW + 100)], nobody)
        add(store, "task-1", now=NOW + 130)
        assert state_of(store).blocked_before_s == 60.0 + 30.0


class TestSync:
    def sync(self, store: Watches, *task_ids: str, now: float = NOW) -> tuple[list[str], list[str]]:
        added, gone = store.sync([make_wish(task_id=task_id) for task_id in task_ids], source="watchlist", now=now)
        return [f"{one.what} {one.key.task_id}" for one in added], sorted(key.task_id for key in gone)

    def test_new_entries_are_added_and_missing_ones_withdrawn(self, store: Store) -> None:
        assert self.sync(store, "a", "b", "b") == (["added a", "added b"], [])
        assert self.sync(store, "b", "c") == (["added c"], ["a"])
        assert self.sync(store, "b", "c") == ([], [])
        assert {view.task_id: view.phase for view in store.list_watches()} == {
            "a": "withdrawn",
            "b": "submitted",
            "c": "submitted",
        }
        assert facts(store, WatchKey("kling", "a")) == [("added", "watchlist"), ("withdrawn", "watchlist")]

    def test_an_empty_list_withdraws_all(self, store: Store) -> None:
        self.sync(store, "a", "b")
        assert self.sync(store) == ([], ["a", "b"])

    def test_a_task_that_another_source_names_is_not_withdrawn(self, store: Store) -> None:
        add(store, "a", source="cli")
        self.sync(store, "a", "b")
        add(store, "b", source="queue")
        assert self.sync(store) == ([], [])
        assert store.counts().live == 2

    def test_two_lists_name_one_watch_until_both_have_dropped_it(self, store: Store) -> None:
        self.sync(store, "a")
        store.sync([make_wish(task_id="a")], source="other list", now=NOW)
        assert self.sync(store) == ([], [])
        assert store.sync([], source="other list", now=NOW) == ([], [WatchKey("kling", "a")])

    def test_kept_tasks_are_neither_added_nor_withdrawn(self, store: Store) -> None:
        self.sync(store, "a", "b", "c")
        kept = [WatchKey("kling", "a"), WatchKey("kling", "new")]
        _, gone = store.sync([make_wish(task_id="c")], source="watchlist", now=NOW, kept=kept)
        assert gone == [WatchKey("kling", "b")]
        assert store.counts().live == 2
        assert self.sync(store, "c") == ([], ["a"])

    def test_finished_tasks_are_unchanged(self, store: Store) -> None:
        self.sync(store, "task-1")
        store.commit([make_end()], Teller())
        assert self.sync(store) == ([], [])
        assert self.sync(store, "task-1") == (["ended task-1"], [])
        assert state_of(store).memory.phase is Phase.SUCCEEDED

    def test_a_removed_entry_that_comes_back_is_watched_again(self, store: Store) -> None:
        self.sync(store, "a")
        self.sync(store)
        assert self.sync(store, "a") == (["revived a"], [])

    def test_a_persons_withdrawal_holds_while_the_entry_stays_on_the_list(self, store: Store) -> None:
        self.sync(store, "task-1")
        store.withdraw([KEY], now=NOW)
        assert self.sync(store, "task-1", "b") == (["added b"], [])
        assert state_of(store).memory.phase is Phase.WITHDRAWN

    def test_a_list_with_mistakes_withdraws_and_revives_nothing(self, store: Store) -> None:
        self.sync(store, "task-1", "a")
        store.withdraw([KEY], now=NOW)
        good = [make_wish(task_id="task-1"), make_wish(task_id="b")]
        added, gone = store.sync(good, source="watchlist", now=NOW, kept=None)
        assert ([one.key.task_id for one in added], gone) == (["b"], [])
        assert state_of(store).memory.phase is Phase.WITHDRAWN
        assert self.sync(store, "task-1", "b") == ([], ["a"])

    def test_a_withdrawn_task_is_watched_if_a_list_names_it_later(self, store: Store) -> None:
        add(store, "task-1")
        store.withdraw([KEY], now=NOW)
        assert self.sync(store, "task-1") == (["revived task-1"], [])
        assert self.sync(store) == ([], ["task-1"])


class TestRevisions:
    def test_the_revision_grows_with_every_change_except_polls(self, store: Store) -> None:
        assert store.revision() == 0
        add(store, "task-1")
        added = store.revision()
        assert added == store.changed(0)[0] > 0
        store.note([make_note()])
        assert store.revision() == added
        store.poll_now([KEY], now=NOW)
        assert store.revision() > added

    def test_all_live_watches_are_read_first_and_then_only_changed_ones(self, store: Store) -> None:
        add(store, "task-1", "b", "c")
        store.commit([make_end()], Teller())
        revision, states = store.changed(0)
        assert sorted(state.task_id for state in states) == ["b", "c"]
        assert store.changed(revision) == (revision, [])
        store.withdraw([WatchKey("kling", "b")], now=NOW)
        add(store, "d")
        later, states = store.changed(revision)
        assert sorted((state.task_id, state.memory.phase) for state in states) == [
            ("b", "withdrawn"),
            ("d", "submitted"),
        ]
        assert later == max(state.revision for state in states) > revision

    def test_reading_live_watches_in_parts_misses_none_despite_phase_changes(self, store: Store) -> None:
        ids = [f"t{number:02}" for number in range(25)]
        add(store, *ids, "over", "withdrawn")
        store.commit([make_end(WatchKey("kling", "over"))], Teller())
        store.withdraw([WatchKey("kling", "withdrawn")], now=NOW)
        store.note([make_note(WatchKey("kling", task_id)) for task_id in ids[:5]])
        seen: list[str] = []
        for number, states in enumerate(store.live(most=4), 1):
            assert 0 < len(states) <= 4
            seen += [state.task_id for state in states]
            moved = make_note(WatchKey("kling", ids[-min(number, 9)]), memory=Memory(phase=Phase.RUNNING, polls=number))
            store.note([moved])
        assert set(seen) == set(ids)
        assert all(store.live(most=100))

    def test_polls_do_not_change_the_revision(self, store: Store) -> None:
        add(store, "task-1", "b")
        revision, _ = store.changed(0)
        store.note([make_note(WatchKey("kling", "b"))])
        store.commit([make_end()], Teller())
        assert store.changed(revision) == (revision, [])

    def test_a_wish_that_changes_nothing_does_not_change_the_revision(self, store: Store) -> None:
        add(store, "task-1")
        revision, _ = store.changed(0)
        add(store, "task-1", source="queue")
        assert store.changed(revision) == (revision, [])

    def test_every_touch_by_a_person_is_seen(self, store: Store) -> None:
        add(store, "task-1")
        revision, _ = store.changed(0)
        store.poll_now([KEY], now=NOW + 7)
        revision, [state] = store.changed(revision)
        assert state.next_poll_at == 0
        store.withdraw([KEY], now=NOW)
        revision, [state] = store.changed(revision)
        assert state.memory.phase is Phase.WITHDRAWN
        add(store, "task-1")
        _, [state] = store.changed(revision)
        assert state.memory.phase is Phase.SUBMITTED


class TestNotes:
    def test_all_that_polling_needs_comes_back_as_it_was_noted(self, store: Store) -> None:
        add(store, "task-1")
        memory = Memory(
            phase=Phase.RUNNING,
            polls=7,
            failures=2,
            doubt=Doubt(kind=ReadingKind.NOT_FOUND, answers=3, since_at=NOW + 0.125),
            progress=42.5,
            progress_told=40.0,
            progress_told_at=NOW + 0.5,
            is_input_told=True,
        )
        assert [name for name, value in Memory()._asdict().items() if getattr(memory, name) == value] == []
        store.note([make_note(memory=memory, next_poll_at=NOW + 8.75)])
        [state] = store.changed(0)[1]
        assert (state.memory, state.next_poll_at) == (memory, NOW + 8.75)
        assert state.memory.phase is Phase.RUNNING
        assert state.memory.doubt is not None
        assert state.memory.doubt.kind is ReadingKind.NOT_FOUND

    @pytest.mark.parametrize("first", range(4))
    def test_answers_are_counted_by_kind_for_the_history(self, first: int, store: Store) -> None:
        add(store, "task-1")
        memories = [Memory(phase=Phase.RUNNING, polls=poll) for poll in range(1, 5)]
        notes = [make_note(memory=memory, at=NOW + memory.polls, detail=f"{memory.polls}") for memory in memories]
        notes[2] = notes[2]._replace(kind=ReadingKind.TRANSIENT, detail="502 \ud800")
        for part in (notes[:first], notes[first:]):  # in two transactions, divided in every way
            store.note(part)
        assert facts(store) == [("added", "cli"), ("running", "1")]
        assert state_of(store).memory == memories[-1]
        story = store.details(KEY)
        assert [(one.kind, one.times, one.first_at, one.last_at, one.last_detail) for one in story.readings] == [
            (ReadingKind.RUNNING, 3, NOW + 1, NOW + 4, "4"),
            (ReadingKind.TRANSIENT, 1, NOW + 3, NOW + 3, "502 ?"),
        ]
        assert story.next_poll_why == "a tenth of its age"

    def test_a_note_about_a_finished_withdrawn_or_older_watch_is_dropped(self, store: Store) -> None:
        add(store, "task-1", "b", "c")
        store.commit([make_end()], Teller())
        store.withdraw([WatchKey("kling", "b")], now=NOW)
        store.note([make_note(), make_note(WatchKey("kling", "b")), make_note(WatchKey("kling", "unknown"))])
        assert whole(store).state.memory.polls == 9
        assert [view.polls for view in store.list_watches(WatchFilter(phases=(Phase.WITHDRAWN,)))] == [0]
        add(store, "task-1", again=True)
        store.note([make_note(generation=1)])
        assert state_of(store).memory == Memory()

    def test_a_late_note_does_not_overwrite_a_later_poll(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_progress(50)], Teller())
        store.note([make_note(memory=Memory(polls=1), next_poll_at=NOW)])
        state = state_of(store)
        assert (state.memory.polls, state.memory.phase, state.next_poll_at) == (2, Phase.RUNNING, NOW + 3)

    def test_a_requested_poll_is_kept_when_an_earlier_poll_is_noted(self, store: Store) -> None:
        add(store, "task-1")
        before = store.revision()
        store.poll_now([KEY], now=NOW + 10)
        for at in (NOW + 9, NOW + 11):  # answered before and after the request; the daemon did not know of it
            store.note([make_note(at=at, next_poll_at=NOW + 100, revision=before)])
            assert state_of(store).next_poll_at == 0
        change = make_progress(50)
        store.commit([replace(change, note=change.note._replace(revision=before))], Teller())
        assert state_of(store).next_poll_at == 0
        after = make_note(
            memory=Memory(phase=Phase.RUNNING, polls=3), next_poll_at=NOW + 100, revision=store.revision()
        )
        store.note([after])
        assert state_of(store).next_poll_at == NOW + 100

    def test_a_note_cannot_finish_a_task(self, store: Store) -> None:
        add(store, "task-1")
        with pytest.raises(BridgeBug, match="a finish must be committed"):
            store.note([make_note(memory=Memory(phase=Phase.SUCCEEDED))])

    def test_no_notes_are_no_work(self, store: Store) -> None:
        store.note([])
        assert store.changed(0) == (0, [])
