"""Many polls and large results: how much is written at once, and what is kept in an outage."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.change import Note, TaskChange
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, Snapshot
from bridge.domain.watch import Memory
from bridge.engine.write_batcher import MAX_BYTES, MAX_NOTES, MAX_NOTES_AT_ONCE, MAX_PENDING_BYTES
from tests.engine.recording_batcher import writing
from tests.store.making import make_end, make_note


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


async def test_a_note_that_cannot_be_stored_costs_no_other_note() -> None:
    async with writing() as (writes, book, _):
        note = book.note

        def note_but_the_seventh(notes: Sequence[Note]) -> None:
            if any(one.memory.polls == 7 for one in notes):
                raise KeyError("a bug of ours")
            note(notes)

        book.note = note_but_the_seventh  # type: ignore[method-assign]
        for number in range(100):
            writes.note(poll(number, watches=100))
        with capture_logs() as logged:
            await writes.flush_notes()
        assert sorted(book.polls) == [number for number in range(100) if number != 7]
        assert [(line["event"], line["count"]) for line in logged] == [("note.bug", 1)]


async def test_notes_are_stored_in_batches_with_changes_in_between() -> None:
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
        assert book.polls == list(range(3 * MAX_NOTES_AT_ONCE))  # in their order, in whichever parts they were written
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
        assert max(map(len, book.committed[:-1])) == 7  # each is a few bytes larger than an eighth of the limit
        assert len(book.committed[-1]) > 500
        assert [ends[102 - 1]] in book.committed  # a change that is larger than the limit is written alone


async def test_polls_pause_while_many_bytes_wait_and_no_longer() -> None:
    async with writing() as (writes, book, clock):

        def is_blocked() -> bool:
            return writes.is_blocked

        for _ in range(17):
            writes.submit(picture(MAX_PENDING_BYTES // 16))
        assert is_blocked()
        await clock.advance(1)
        assert not is_blocked()
        book.is_full = True  # changes that are put back count as waiting again
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
