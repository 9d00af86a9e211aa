from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.change import Change, Note, TaskChange
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, Snapshot
from bridge.domain.watch import Memory
from bridge.engine.ledger import MOST_BYTES, MOST_NOTES, MOST_PENDING_BYTES, NOTES_AT_ONCE, Ledger
from bridge.errors import StoreError
from bridge.ports import Tell
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


async def test_a_change_that_cannot_be_told_fails_alone() -> None:
    class PoisonedRig(Rig):
        def tell(self, event: Event) -> Sequence[Parcel]:
            if event.subject == "poison":
                raise KeyError("a template gone wrong")
            return super().tell(event)

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
        rig.ledger.close()
        await rig.clock.advance(300)
        assert rig.phase("a") == "succeeded"


async def test_a_batch_too_large_for_a_nearly_full_disk_is_written_in_parts() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(16)]
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    sizes: list[int] = []
    commit = rig.store.commit

    def roomy(changes: Sequence[Change], tell: Tell) -> list[bool]:
        sizes.append(len(changes))
        if len(changes) > 3:
            raise StoreError("disk full")
        return commit(changes, tell)

    rig.torn.commit = roomy  # type: ignore[method-assign]  # our own double, with a small disk
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(120)
        assert len(set(rig.sink.ids())) == 16
        assert max(sizes) > 3


async def test_a_notice_that_cannot_be_told_is_logged_and_stops_nothing() -> None:
    class PoisonedRig(Rig):
        def tell(self, event: Event) -> Sequence[Parcel]:
            if event.topic is Topic.ACCOUNT_BLOCKED:
                raise KeyError("a template gone wrong")
            return super().tell(event)

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


class Book:
    """A store of nothing but notes, in the transactions in which they came; it fails when told."""

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

    def commit(self, changes: Sequence[Change], tell: Tell) -> list[bool]:
        if self.is_full:
            raise StoreError("disk full")
        self.order.append("changes")
        self.committed.append(changes)
        return [True for _ in changes]

    @property
    def polls(self) -> list[int]:
        return [note.memory.polls for notes in self.written for note in notes]


@asynccontextmanager
async def writing() -> AsyncIterator[tuple[Ledger, Book, FakeClock]]:
    book, clock = Book(), FakeClock()
    ledger = Ledger(
        commits=book,  # type: ignore[arg-type]  # of each slice it is asked for one method
        watches=book,  # type: ignore[arg-type]  # likewise
        offload=DirectOffload(),
        clock=clock,
        tell=lambda event: [],
        notes_every_s=30,
    )
    async with anyio.create_task_group() as group:
        group.start_soon(ledger.run)
        yield ledger, book, clock
        group.cancel_scope.cancel()


def poll(number: int, *, watches: int) -> Note:
    return make_note(WatchKey("kling", f"t{number % watches}"), memory=Memory(phase=Phase.RUNNING, polls=number))


async def test_when_there_are_too_many_notes_for_an_outage_the_newest_are_kept() -> None:
    async with writing() as (ledger, book, clock):
        book.is_full = True
        for number in range(10):
            ledger.note(poll(number, watches=100))
        await clock.advance(31)
        for number in range(10, MOST_NOTES + 20):
            ledger.note(poll(number, watches=100))
        book.is_full = False
        await clock.advance(60)
        assert book.polls[-1] == MOST_NOTES + 19
        assert MOST_NOTES <= len(book.polls) <= MOST_NOTES + 10


async def test_however_many_polls_there_are_each_is_written_down() -> None:
    async with writing() as (ledger, book, clock):
        for second in range(20):
            for number in range(6000):
                ledger.note(poll(6000 * second + number, watches=3000))
            await clock.advance(1)
        await clock.advance(30)
        assert sorted(book.polls) == list(range(120_000))


async def test_notes_are_written_in_parts_and_changes_do_not_wait_for_all_of_them() -> None:
    async with writing() as (ledger, book, clock):
        for number in range(3 * NOTES_AT_ONCE):
            ledger.note(poll(number, watches=NOTES_AT_ONCE))
        note = book.note

        def note_while_something_ends(notes: Sequence[Note]) -> None:
            note(notes)
            ledger.post(make_end())

        book.note = note_while_something_ends  # type: ignore[method-assign]
        await clock.advance(31)
        assert book.order == ["notes", "changes"] * len(book.written)
        assert max(map(len, book.written)) <= NOTES_AT_ONCE
        assert book.polls == list(range(3 * NOTES_AT_ONCE))  # in their order, however they are parted
        await ledger.noted()


async def test_what_is_noted_while_others_are_written_is_written_in_its_turn() -> None:
    async with writing() as (ledger, book, clock):
        note = book.note

        def note_while_polls_go_on(notes: Sequence[Note]) -> None:
            note(notes)
            if len(book.written) < 3:
                ledger.note(poll(len(book.polls), watches=3))

        book.note = note_while_polls_go_on  # type: ignore[method-assign]
        ledger.note(poll(0, watches=3))
        await clock.advance(29)
        assert book.written == []
        await clock.advance(2)
        assert book.polls == [0]
        await clock.advance(60)
        assert book.polls == [0, 1, 2]


async def test_who_waits_for_his_notes_waits_neither_for_their_time_nor_for_later_ones() -> None:
    async with writing() as (ledger, book, _):
        for number in range(NOTES_AT_ONCE + 1):
            ledger.note(poll(number, watches=10))
        note = book.note

        def note_while_polls_go_on(notes: Sequence[Note]) -> None:
            note(notes)
            if len(book.written) < 10:
                ledger.note(poll(0, watches=10))

        book.note = note_while_polls_go_on  # type: ignore[method-assign]
        with anyio.fail_after(5):
            await ledger.noted()
        assert book.polls[: NOTES_AT_ONCE + 1] == list(range(NOTES_AT_ONCE + 1))
        assert len(book.written) == 2


async def test_notes_forgotten_in_an_outage_keep_nobody_waiting() -> None:
    async with writing() as (ledger, book, clock):
        book.is_full = True
        for number in range(NOTES_AT_ONCE):
            ledger.note(poll(number, watches=10))
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.noted)
            await clock.advance(31)
            for number in range(MOST_NOTES + 7):
                ledger.note(poll(number, watches=10))
            book.is_full = False
            await clock.advance(60)
        assert len(book.polls) == NOTES_AT_ONCE + MOST_NOTES


def picture(size: int) -> TaskChange:
    """An end whose result is a picture of so many bytes."""
    result = {"images": [{"url": "https://cdn.example.test/a.png", "parts": [{"b64": "x" * size}]}]}
    return make_end(snapshot=Snapshot(status="succeed", result=result))


async def test_long_results_that_come_at_once_are_written_a_few_at_a_time_in_their_order() -> None:
    async with writing() as (ledger, book, clock):
        ends = [picture(size) for size in [MOST_BYTES // 8] * 100 + [10, 2 * MOST_BYTES, 10] + [1] * 500]
        for end in ends:
            ledger.post(end)
        await clock.advance(1)
        assert [change for changes in book.committed for change in changes] == ends
        assert max(map(len, book.committed[:-1])) == 7  # and a few bytes more each than an eighth
        assert len(book.committed[-1]) > 500
        assert [ends[102 - 1]] in book.committed  # what is longer than all that are taken at once, alone


async def test_polls_pause_while_many_bytes_wait_and_no_longer() -> None:
    async with writing() as (ledger, book, clock):

        def is_stuck() -> bool:
            return ledger.is_stuck

        for _ in range(17):
            ledger.post(picture(MOST_PENDING_BYTES // 16))
        assert is_stuck()
        await clock.advance(1)
        assert not is_stuck()
        book.is_full = True  # what is put back waits as it did
        for _ in range(15):
            ledger.post(picture(MOST_PENDING_BYTES // 16))
        assert not is_stuck()
        await clock.advance(5)
        assert is_stuck()
        book.is_full = False
        await clock.advance(60)
        assert not is_stuck()
        assert sum(map(len, book.committed)) == 17 + 15
        for _ in range(15):
            ledger.post(picture(MOST_PENDING_BYTES // 16))
        assert not is_stuck()
        ledger.post(picture(MOST_PENDING_BYTES // 16))
        assert is_stuck()
