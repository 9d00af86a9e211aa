"""Group commit: changes that wait at the same time share one transaction and one sync."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import anyio

from bridge.domain.change import Change, Note, weight
from bridge.domain.event import Event, Parcel
from bridge.engine.outage import Outage
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Commits, Offload, Tell, Watches

log = get_logger()

MOST_PENDING: Final = 4_000  # about what a second writes; a kilobyte each, which the process keeps for ever
MOST_CHANGES: Final = 1024  # in one transaction: its statements, turns of the interpreter and sync are shared by all
MOST_BYTES: Final = 8 << 20  # of results in one transaction, which holds each several times: they may be pictures
MOST_PENDING_BYTES: Final = 16 << 20  # what the requests in flight still bring comes on top
NOTES_EVERY_S: Final = 1.0
NOTES_AT_ONCE: Final = 5_000  # in one transaction, for changes wait meanwhile
NOTES_DUE: Final = 25_000  # so many are written without waiting for their time
MOST_NOTES: Final = 50_000  # while the store cannot be written; beyond that the oldest are forgotten

Lane = tuple[str, str]


Then = Callable[[bool, Exception | None], None]
"""Hears of a change that is on disk whether it applied (see `Commits.commit`), or what `tell` raised for it."""


class _Ticket(NamedTuple):
    """One change on its way into the store."""

    change: Change
    then: Then | None
    weight: int  # in bytes, about


class Ledger:
    """Writes changes and notes; `tell` turns events into parcels, `told` hears which lanes got some.

    While the store cannot be written (disk full, I/O error) it tries again for ever, and whoever waits for a
    commit goes on waiting: so polls and attempts pause by themselves.
    """

    def __init__(
        self,
        *,
        commits: Commits,
        watches: Watches,
        offload: Offload,
        clock: Clock,
        tell: Tell,
        notes_every_s: float = NOTES_EVERY_S,
    ) -> None:
        self.tell = tell
        self.told: Callable[[Iterable[Lane]], None] = lambda lanes: None
        self._commits = commits
        self._watches = watches
        self._offload = offload
        self._clock = clock
        self._notes_every_s = notes_every_s
        self._pending: deque[_Ticket] = deque()
        self._pending_bytes = 0
        self._notes: deque[Note] = deque(maxlen=MOST_NOTES)
        self._part: list[Note] = []  # of them in one transaction, kept until it is written
        self._noted = self._due = 0  # notes so far: taken in, and to be written now
        self._notes_due_at = math.inf  # when all that there are become due
        self._dealt_with = anyio.Event()
        self._wake = anyio.Event()
        self._closing = False
        self._outage = Outage(clock)

    @property
    def is_stuck(self) -> bool:
        """Whether the store cannot be written now, and is being tried again; or far more waits than it writes in a
        second."""
        is_much = len(self._pending) > MOST_PENDING or self._pending_bytes > MOST_PENDING_BYTES
        return self._outage.lasts or is_much

    def post(self, change: Change, then: Then | None = None) -> None:
        """Have the change written; `then` is called when it is. Without it, what `tell` raises is logged."""
        ticket = _Ticket(change, then, weight(change))
        self._pending.append(ticket)
        self._pending_bytes += ticket.weight
        self._wake.set()

    def note(self, note: Note) -> None:
        """Have a poll written down within `notes_every_s` or so."""
        if not self._notes:
            self._notes_due_at = self._clock.steady() + self._notes_every_s
            self._wake.set()
        elif len(self._notes) == NOTES_DUE:
            self._notes_due_at = self._clock.steady()
            self._wake.set()
        self._notes.append(note)
        self._noted += 1

    async def noted(self) -> None:
        """Return when every poll noted so far has been written down, which is done now."""
        noted = self._due = self._noted
        self._wake.set()
        while self._written < noted:
            if self._dealt_with.is_set():  # else others wait for this one
                self._dealt_with = anyio.Event()
            await self._dealt_with.wait()

    def close(self) -> None:
        """Let `run` return once everything pending has been written."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write until `close`. Cancelled, it still finishes the transaction that has begun."""
        while True:
            self._wake = anyio.Event()
            if self._pending:
                await self._write_batch()
            elif self._part or self._written < self._due:
                await self._write_part()
            elif not self._notes:
                if self._closing:
                    return
                await self._clock.wait(self._wake, None)
            elif self._closing or self._clock.steady() >= self._notes_due_at:
                self._due, self._notes_due_at = self._noted, self._clock.steady() + self._notes_every_s
            else:
                await self._clock.wait(self._wake, max(self._notes_due_at - self._clock.steady(), 0.0))

    async def _write_batch(self) -> None:
        batch = self._next_batch()
        while batch:
            try:
                await self._commit(batch)
                return
            except StoreError as error:
                await self._outage.wait(error)
                # A disk that is nearly full may hold a smaller one.
                batch = self._put_back(batch, keep=max(1, len(batch) // 2))
            except Exception as error:
                if len(batch) == 1:
                    # Only this change is poisonous; whoever waits for it is told, everybody else goes on.
                    if batch[0].then is None:
                        log.exception("change.bug", what=type(batch[0].change).__name__)
                    else:
                        batch[0].then(False, error)
                    return
                batch = self._put_back(batch, keep=1)

    def _next_batch(self) -> list[_Ticket]:
        """What waits longest, as much as one transaction may hold; one at least."""
        batch: list[_Ticket] = []
        room = MOST_BYTES
        while self._pending and len(batch) < MOST_CHANGES and (not batch or self._pending[0].weight <= room):
            batch.append(self._pending.popleft())
            room -= batch[-1].weight
            self._pending_bytes -= batch[-1].weight
        return batch

    def _put_back(self, batch: list[_Ticket], *, keep: int) -> list[_Ticket]:
        """The first `keep` of the batch; the others wait again, in their order."""
        self._pending.extendleft(reversed(batch[keep:]))
        self._pending_bytes += sum(ticket.weight for ticket in batch[keep:])
        return batch[:keep]

    async def _commit(self, batch: Sequence[_Ticket]) -> None:
        lanes: set[Lane] = set()

        def tell(event: Event) -> Sequence[Parcel]:
            parcels = self.tell(event)
            lanes.update((parcel.endpoint, parcel.target) for parcel in parcels)
            return parcels

        applied = await self._offload(self._commits.commit, [ticket.change for ticket in batch], tell)
        self._outage.over()
        for ticket, was_applied in zip(batch, applied, strict=True):
            if ticket.then is not None:
                ticket.then(was_applied, None)
        if lanes:
            self.told(lanes)

    @property
    def _written(self) -> int:
        """Notes that have been dealt with so far: written, or forgotten."""
        return self._noted - len(self._part) - len(self._notes)

    async def _write_part(self) -> None:
        self._part = self._part or [self._notes.popleft() for _ in range(min(len(self._notes), NOTES_AT_ONCE))]
        try:
            await self._offload(self._watches.note, self._part)
            self._outage.over()
        except StoreError as error:
            await self._outage.wait(error)  # and again, so that the outage's end is seen
            return
        except Exception:
            log.exception("note.bug", count=len(self._part))  # nor may a fault of ours in counting stop the commits
        self._part = []
        self._dealt_with.set()
