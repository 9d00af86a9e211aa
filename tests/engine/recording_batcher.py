"""A write batcher on a store that records what it got."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from bridge.domain.change import Change, Note
from bridge.engine.write_batcher import WriteBatcher
from bridge.errors import StoreError
from bridge.metrics import Metrics
from bridge.ports import ParcelsFor
from tests.fakes import DirectOffload, FakeClock


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
        notes_every_s=30,
    )
    async with anyio.create_task_group() as group:
        group.start_soon(writes.run)
        yield writes, book, clock
        group.cancel_scope.cancel()
