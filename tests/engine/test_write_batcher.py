from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.change import AccountPaused, Change, Note, TaskChange
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, Snapshot
from bridge.domain.watch import Memory
from bridge.engine.write_batcher import MAX_BYTES, MAX_NOTES, MAX_NOTES_AT_ONCE, MAX_PENDING_BYTES, WriteBatcher
from bridge.errors import StoreError
from bridge.metrics import Metrics
from bridge.ports import ParcelsFor
from tests.engine.rig import REVOKED, SUCCEEDED, Rig
from tests.fakes import DirectOffload, FakeClock
from tests.store.making import make_end, make_note


async def test_changes_that_wait_at_the_same_time_share_one_transaction() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(18)]
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    commits = 0
    commit = rig.store.commit

    def counted(*args: object) -> list[bool]:
        nonlocal commits
        commits += 1
        return commit(*args)  # type: ignore[arg-type]  # passed on as it came

    rig.torn.commit = counted  # type: ignore[method-assign]  # our own double, counting
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(5)
        assert len(set(rig.sink.ids())) == 18
        assert commits < 18


async def test_a_change_whose_event_cannot_be_rendered_fails_alone() -> None:
    class PoisonedRig(Rig):
        def parcels_for(self, event: Event) -> Sequence[Parcel]:
            if event.subject == "poison":
                raise KeyError("a template gone wrong")
            return super().parcels_for(event)

    rig = PoisonedRig()
    for task_id in ("a", "poison", "b"):
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch("a", "poison", "b")
        await rig.clock.advance(10)
        assert sorted(delivery.subject for _, delivery in rig.sink.handed) == ["a", "b"]


@pytest.mark.parametrize("failures", [1, 20])
async def test_closing_writes_what_is_pending_first(failures: int) -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        rig.torn.failures = failures
        await rig.watch("a")
        await rig.clock.advance(0)
        rig.writes.close()
        await rig.clock.advance(300)
        assert rig.phase("a") == "succeeded"


async def test_a_batch_too_large_for_a_nearly_full_disk_is_written_in_parts() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(16)]
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    sizes: list[int] = []
    commit = rig.store.commit

    def roomy(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        sizes.append(len(changes))
        if len(changes) > 3:
            raise StoreError("disk full")
        return commit(changes, parcels_for)

    rig.torn.commit = roomy  # type: ignore[method-assign]  # our own double, with a small disk
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(120)
        assert len(set(rig.sink.ids())) == 16
        assert max(sizes) > 3


async def test_an_operator_event_that_cannot_be_rendered_is_logged_and_stops_nothing() -> None:
    class PoisonedRig(Rig):
        def parcels_for(self, event: Event) -> Sequence[Parcel]:
            if event.topic is Topic.ACCOUNT_BLOCKED:
                raise KeyError("a template gone wrong")
            return super().parcels_for(event)

    rig = PoisonedRig()
    rig.script("a", REVOKED)
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(1)
            rig.script("a", SUCCEEDED)
            await rig.clock.advance(120)
    assert [line["what"] for line in logged if line["event"] == "change.bug"] == ["AccountChange"]
    assert rig.phase("a") == "succeeded"


def raising(result: object) -> None:
    raise KeyError("a bug of ours after the commit")


async def test_a_callback_that_raises_neither_repeats_the_commit_nor_delays_its_deliveries() -> None:
    rig = Rig()
    for task_id in ("a", "b"):
        rig.script(task_id, SUCCEEDED)
    sizes: list[int] = []
    commit = rig.store.commit

    def counted(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        sizes.append(len(changes))
        return commit(changes, parcels_for)

    rig.torn.commit = counted  # type: ignore[method-assign]  # our own double, counting
    with capture_logs() as logged:
        async with rig.running():
            for number in range(3):
                rig.writes.submit(AccountPaused(account=f"paused{number}", until_at=rig.clock.now()), then=raising)
            await rig.watch("a", "b")
            await rig.clock.advance(1)
            assert sorted(delivery.subject for _, delivery in rig.sink.handed) == ["a", "b"]
            await rig.clock.advance(60)
    assert sum(sizes) == 3 + 2 + 2  # pauses, ends, outcomes: each once
    assert [delivery.subject for _, delivery in rig.sink.handed].count("a") == 1
    (bug,) = [line for line in logged if line["event"] == "commit.bug"]
    assert (bug["what"], bug["keys"], bug["count"]) == ("AccountPaused", ["paused0", "paused1", "paused2"], 3)


async def test_a_bug_in_counting_what_was_stored_neither_repeats_the_commit_nor_delays_its_deliveries() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    commits = 0
    commit = rig.store.commit

    def counted(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        nonlocal commits
        commits += 1
        return commit(changes, parcels_for)

    class BrokenCounter:
        def observe(self, seconds: float) -> None:
            raise KeyError("a bug of ours")

    rig.torn.commit = counted  # type: ignore[method-assign]  # our own double, counting
    rig.metrics.commit_s = BrokenCounter()  # type: ignore[misc, assignment]
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(1)
            assert [delivery.subject for _, delivery in rig.sink.handed] == ["a"]
    assert {line["event"] for line in logged if line["event"].endswith(".bug")} == {"observer.bug"}
    assert commits == 2  # the end, and its outcome


async def test_each_callback_of_a_commit_is_called_although_one_before_it_raises() -> None:
    heard: list[str] = []

    def hears(name: str) -> Callable[[bool], None]:
        return raising if name == "poison" else lambda applied: heard.append(name)

    async with writing() as (writes, _, clock):
        for name in ("a", "poison", "b"):
            writes.submit(AccountPaused(account=name, until_at=0.0), then=hears(name))
        await clock.advance(0)
        assert heard == ["a", "b"]


async def test_a_queue_that_cannot_be_woken_does_not_affect_others() -> None:
    rig = Rig(targets=("bad", "good"))
    rig.script("a", SUCCEEDED)

    def wake(keys: Iterable[tuple[str, str]]) -> None:
        for endpoint, target in keys:
            if target == "bad":
                raise KeyError("a bug of ours")
            rig.dispatcher.wake([(endpoint, target)])

    rig.writes.wake = wake
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(1)
            assert [delivery.target for _, delivery in rig.sink.handed] == ["good"]
            assert rig.phase("a") == "succeeded"
    assert [line["keys"] for line in logged if line["event"] == "commit.bug"] == [["hook/bad"]]


async def test_a_failure_callback_that_raises_stops_nothing() -> None:
    class PoisonedRig(Rig):
        def parcels_for(self, event: Event) -> Sequence[Parcel]:
            if event.subject == "poison":
                raise KeyError("a template gone wrong")
            return super().parcels_for(event)

    rig = PoisonedRig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("poison")
        await rig.clock.advance(0.5)
        rig.writes.submit(make_end(WatchKey("kling", "poison")), then=raising, failed=raising)
        await rig.watch("a")
        await rig.clock.advance(1)
        assert [delivery.subject for _, delivery in rig.sink.handed] == ["a"]


class Book:
    """A store that keeps notes and changes by transaction, and fails while `is_full`."""

    def __init__(self) -> None:
        self.written: list[Sequence[Note]] = []
        self.order: list[str] = []
        self.committed: list[Sequence[Change]] = []
        self.is_full = False

    def note(self, notes: Sequence[Note]) -> None:
        if self.is_full:
            raise StoreError("disk full")
        self.written.append(notes)
        self.order.append("notes")

    def commit(self, changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        if self.is_full:
            raise StoreError("disk full")
        self.order.append("changes")
        self.committed.append(changes)
        return [True for _ in changes]

    @property
    def polls(self) -> list[int]:
        return [note.memory.polls for notes in self.written for note in notes]


@asynccontextmanager
async def writing() -> AsyncIterator[tuple[WriteBatcher, Book, FakeClock]]:
    book, clock = Book(), FakeClock()
    writes = WriteBatcher(
        commits=book,
        watches=book,  # type: ignore[arg-type]  # likewise
        offload=DirectOffload(),
        clock=clock,
        metrics=Metrics(),
        parcels_for=lambda event: [],
        notes_every_s=30,
    )
    async with anyio.create_task_group() as group:
        group.start_soon(writes.run)
        yield writes, book, clock
        group.cancel_scope.cancel()


def poll(number: int, *, watches: int) -> Note:
    return make_note(WatchKey("kling", f"t{number % watches}"), memory=Memory(phase=Phase.RUNNING, polls=number))


@pytest.mark.usefixtures("unmeasured")
async def test_a_long_outage_keeps_the_newest_notes() -> None:
    async with writing() as (writes, book, clock):
        book.is_full = True
        for number in range(10):
            writes.note(poll(number, watches=100))
        await clock.advance(31)
        for number in range(10, MAX_NOTES + 20):
            writes.note(poll(number, watches=100))
        book.is_full = False
        await clock.advance(60)
        assert book.polls[-1] == MAX_NOTES + 19
        assert MAX_NOTES <= len(book.polls) <= MAX_NOTES + 10


@pytest.mark.usefixtures("unmeasured")
async def test_every_poll_is_stored_however_many_there_are() -> None:
    async with writing() as (writes, book, clock):
        for second in range(20):
            for number in range(6000):
                writes.note(poll(6000 * second + number, watches=3000))
            await clock.advance(1)
        await clock.advance(30)
        assert sorted(book.polls) == list(range(120_000))


async def test_notes_are_stored_in_batches_and_changes_do_not_wait_for_all_of_them() -> None:
    async with writing() as (writes, book, clock):
        for number in range(3 * MAX_NOTES_AT_ONCE):
            writes.note(poll(number, watches=MAX_NOTES_AT_ONCE))
        note = book.note

        def note_while_something_ends(notes: Sequence[Note]) -> None:
            note(notes)
            writes.submit(make_end())

        book.note = note_while_something_ends  # type: ignore[method-assign]
        await clock.advance(31)
        assert book.order == ["notes", "changes"] * len(book.written)
        assert max(map(len, book.written)) <= MAX_NOTES_AT_ONCE
        assert book.polls == list(range(3 * MAX_NOTES_AT_ONCE))  # in their order, however they are parted
        await writes.flush_notes()


async def test_notes_taken_during_a_write_are_stored_in_their_turn() -> None:
    async with writing() as (writes, book, clock):
        note = book.note

        def note_while_polls_go_on(notes: Sequence[Note]) -> None:
            note(notes)
            if len(book.written) < 3:
                writes.note(poll(len(book.polls), watches=3))

        book.note = note_while_polls_go_on  # type: ignore[method-assign]
        writes.note(poll(0, watches=3))
        await clock.advance(29)
        assert book.written == []
        await clock.advance(2)
        assert book.polls == [0]
        await clock.advance(60)
        assert book.polls == [0, 1, 2]


async def test_after_a_hand_over_notes_are_written_every_second_for_a_minute() -> None:
    async with writing() as (writes, book, clock):
        writes.note_promptly()
        for number in range(120):
            writes.note(poll(number, watches=10))
            await clock.advance(1)
            if number == 55:
                assert len(book.polls) >= 55
        assert len(book.written) <= 60 + 3


async def test_flushing_notes_waits_neither_for_their_time_nor_for_later_ones() -> None:
    async with writing() as (writes, book, _):
        for number in range(MAX_NOTES_AT_ONCE + 1):
            writes.note(poll(number, watches=10))
        note = book.note

        def note_while_polls_go_on(notes: Sequence[Note]) -> None:
            note(notes)
            if len(book.written) < 10:
                writes.note(poll(0, watches=10))

        book.note = note_while_polls_go_on  # type: ignore[method-assign]
        with anyio.fail_after(30):
            await writes.flush_notes()
        assert book.polls[: MAX_NOTES_AT_ONCE + 1] == list(range(MAX_NOTES_AT_ONCE + 1))
        assert len(book.written) == 2


@pytest.mark.usefixtures("unmeasured")
async def test_notes_dropped_in_an_outage_do_not_block_a_flush() -> None:
    async with writing() as (writes, book, clock):
        book.is_full = True
        for number in range(MAX_NOTES_AT_ONCE):
            writes.note(poll(number, watches=10))
        async with anyio.create_task_group() as group:
            group.start_soon(writes.flush_notes)
            await clock.advance(31)
            for number in range(MAX_NOTES + 7):
                writes.note(poll(number, watches=10))
            book.is_full = False
            await clock.advance(60)
        assert len(book.polls) == MAX_NOTES_AT_ONCE + MAX_NOTES


def picture(size: int) -> TaskChange:
    """A finished task whose result is a picture of `size` bytes."""
    result = {"images": [{"url": "https://cdn.example.test/a.png", "parts": [{"b64": "x" * size}]}]}
    return make_end(snapshot=Snapshot(status="succeed", result=result))


async def test_large_results_are_stored_a_few_at_a_time_in_their_order() -> None:
    async with writing() as (writes, book, clock):
        ends = [picture(size) for size in [MAX_BYTES // 8] * 100 + [10, 2 * MAX_BYTES, 10] + [1] * 500]
        for end in ends:
            writes.submit(end)
        await clock.advance(1)
        assert [change for changes in book.committed for change in changes] == ends
        assert max(map(len, book.committed[:-1])) == 7  # and a few bytes more each than an eighth
        assert len(book.committed[-1]) > 500
        assert [ends[102 - 1]] in book.committed  # what is longer than all that are taken at once, alone


async def test_polls_pause_while_many_bytes_wait_and_no_longer() -> None:
    async with writing() as (writes, book, clock):

        def is_blocked() -> bool:
            return writes.is_blocked

        for _ in range(17):
            writes.submit(picture(MAX_PENDING_BYTES // 16))
        assert is_blocked()
        await clock.advance(1)
        assert not is_blocked()
        book.is_full = True  # what is put back waits as it did
        for _ in range(15):
            writes.submit(picture(MAX_PENDING_BYTES // 16))
        assert not is_blocked()
        await clock.advance(5)
        assert is_blocked()
        book.is_full = False
        await clock.advance(60)
        assert not is_blocked()
        assert sum(map(len, book.committed)) == 17 + 15
        for _ in range(15):
            writes.submit(picture(MAX_PENDING_BYTES // 16))
        assert not is_blocked()
        writes.submit(picture(MAX_PENDING_BYTES // 16))
        assert is_blocked()
