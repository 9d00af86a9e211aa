"""Group commit: changes that wait at the same time share one transaction and one sync to disk."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import anyio

from bridge.domain.backoff import growing_s
from bridge.domain.change import Change, Note, answer_bytes, key_of
from bridge.domain.event import Event, Parcel, Topic
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.metrics import Metrics
from bridge.ports import Clock, Commits, Offload, ParcelsFor, StoreObserver, Watches

log = get_logger()

MAX_PENDING: Final = 4_000  # changes, at about 1 KB each: about as many as are written in one second
MAX_CHANGES: Final = 1024  # changes per transaction; they share its statements and its sync
MAX_BYTES: Final = 8 << 20  # bytes of results per transaction, which holds several copies; results may embed pictures
MAX_PENDING_BYTES: Final = 16 << 20  # limit at which polls stop; requests in flight may still add more
MAX_KEYS: Final = 10  # maximum number of keys in one log line
NOTES_EVERY_S: Final = 1.0
MAX_NOTES_AT_ONCE: Final = 5_000  # notes per transaction, because changes wait for it
NOTES_DUE: Final = 25_000  # as soon as this many notes wait, they are written
MAX_NOTES: Final = 50_000  # notes kept while the store cannot be written; then the oldest are dropped
FIRST_WAIT_S: Final = 0.5
MAX_WAIT_S: Final = 10.0  # work resumes well within 30 s of the store's recovery

QueueKey = tuple[str, str]
"""Endpoint and target of a queue of deliveries."""


class _Written(NamedTuple):
    """The result of a commit: which changes applied, the queues with new deliveries, and the events."""

    applied: Sequence[bool]
    keys: set[QueueKey]
    events: Sequence[Event]
    took_s: float


class _Pending(NamedTuple):
    change: Change
    then: Callable[[bool], None] | None
    failed: Callable[[Exception], None] | None
    answer_bytes: int


class WriteBatcher:
    """Stores changes and notes of polls. Calls `parcels_for` to render each event, and `wake` with the queues that got
    deliveries. Assign either attribute to replace it.

    While the store cannot be written (disk full, I/O error), it retries without end, and changes keep waiting.
    `is_blocked` is true then, so that polls and attempts pause.
    """

    def __init__(
        self,
        *,
        commits: Commits,
        watches: Watches,
        offload: Offload,
        clock: Clock,
        metrics: Metrics,
        notes_every_s: float = NOTES_EVERY_S,
        observers: Sequence[StoreObserver] = (),
    ) -> None:
        self.parcels_for: ParcelsFor = lambda event: ()
        self.wake: Callable[[Iterable[QueueKey]], None] = lambda keys: None
        self._commits = commits
        self._watches = watches
        self._offload = offload
        self._clock = clock
        self._metrics = metrics
        self._notes_every_s = notes_every_s
        self._observers = observers
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._notes: deque[Note] = deque(maxlen=MAX_NOTES)
        self._notes_due_at = math.inf  # when `_notes` are written; the first note sets it
        self._note_batches: list[Sequence[Note]] = []  # taken out of `_notes`, one transaction for each batch
        self._noted = 0  # number of notes received so far
        self._notes_written = anyio.Event()  # set after each transaction
        self._changed = anyio.Event()
        self._closing = False
        self._failures = 0  # attempts that failed in a row
        self.failing_since: float | None = None  # when writes began to fail (steady); None: the last one worked

    @property
    def is_blocked(self) -> bool:
        """Whether the store cannot be written now, or more changes wait than it writes in a second."""
        is_much = len(self._pending) > MAX_PENDING or self._pending_bytes > MAX_PENDING_BYTES
        return self.failing_since is not None or is_much

    def submit(
        self,
        change: Change,
        then: Callable[[bool], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Store the change. When it is on disk, `then` is called with whether it applied (see `Commits.commit`).
        `failed` is called with an exception that `parcels_for` or `then` raised; without `failed`, the exception is
        logged."""
        pending = _Pending(change, then, failed, answer_bytes(change))
        self._pending.append(pending)
        self._pending_bytes += pending.answer_bytes
        self._changed.set()

    def note(self, note: Note) -> None:
        """Store the note of a poll within about `notes_every_s`."""
        if not self._notes:
            self._notes_due_at = self._clock.steady() + self._notes_every_s
            self._changed.set()
        elif len(self._notes) == NOTES_DUE:
            self._notes_due_at = self._clock.steady()
            self._changed.set()
        self._notes.append(note)
        self._noted += 1

    async def flush_notes(self) -> None:
        """Store all notes that were received so far; return when that is done."""
        noted, self._notes_due_at = self._noted, -math.inf
        self._changed.set()
        while self._noted - len(self._notes) - sum(map(len, self._note_batches)) < noted:
            if self._notes_written.is_set():  # otherwise another caller is waiting for this event
                self._notes_written = anyio.Event()
            await self._notes_written.wait()

    def close(self) -> None:
        """Make `run` return once everything pending is stored."""
        self._closing = True
        self._changed.set()

    async def run(self) -> None:
        """Write until `close`. If canceled, it still finishes the current transaction."""
        while True:
            self._changed = anyio.Event()
            if self._pending:
                await self._write_batch()
            elif self._note_batches:
                await self._write_notes(self._note_batches[0])
            elif self._notes:
                wait_s = self._notes_due_at - self._clock.steady()
                if self._closing or wait_s <= 0:
                    count = min(len(self._notes), MAX_NOTES_AT_ONCE)
                    self._note_batches = [[self._notes.popleft() for _ in range(count)]]
                else:
                    await self._clock.wait(self._changed, wait_s)
            elif self._closing:
                return
            else:
                await self._clock.wait(self._changed, None)

    async def _write_batch(self) -> None:
        batch = self._next_batch()
        while batch:
            try:
                written = await self._commit(batch)
            except Exception as error:
                if isinstance(error, StoreError):
                    await self._wait()
                elif len(batch) == 1:
                    # Only this change cannot be stored. All others can.
                    self._report([(batch[0], error)], stored=False)
                    return
                # A disk that is nearly full may have room for a smaller batch, which may also lack the faulty change.
                batch = self._put_back(batch, keep=max(1, len(batch) // 2))
            else:
                # Outside of the `try`, because no error after a commit may commit the batch again.
                self._committed(batch, written)
                return

    async def _wait(self) -> None:
        """After a failure, wait before the next attempt: half a second, growing to ten."""
        self._failures += 1
        if self.failing_since is None:
            self.failing_since = self._clock.steady()
        chance = self._clock.chance()
        await self._clock.sleep(growing_s(self._failures, first_s=FIRST_WAIT_S, most_s=MAX_WAIT_S, chance=chance))

    def _next_batch(self) -> list[_Pending]:
        """The changes that have waited longest: at least one, and at most as many as fit into one transaction."""
        batch: list[_Pending] = []
        room = MAX_BYTES
        while self._pending and len(batch) < MAX_CHANGES and (not batch or self._pending[0].answer_bytes <= room):
            batch.append(self._pending.popleft())
            room -= batch[-1].answer_bytes
            self._pending_bytes -= batch[-1].answer_bytes
        return batch

    def _put_back(self, batch: list[_Pending], *, keep: int) -> list[_Pending]:
        """The first `keep` of the batch. The others wait again, in their order."""
        self._pending.extendleft(reversed(batch[keep:]))
        self._pending_bytes += sum(pending.answer_bytes for pending in batch[keep:])
        return batch[:keep]

    async def _commit(self, batch: Sequence[_Pending]) -> _Written:
        keys: set[QueueKey] = set()
        events: list[Event] = []

        def parcels_for(event: Event) -> Sequence[Parcel]:
            events.append(event)
            parcels = self.parcels_for(event)
            keys.update((parcel.endpoint, parcel.target) for parcel in parcels)
            return parcels

        begun_at = self._clock.steady()
        applied = await self._offload(self._commits.commit, [pending.change for pending in batch], parcels_for)
        return _Written(applied, keys, events, self._clock.steady() - begun_at)

    def _committed(self, batch: Sequence[_Pending], written: _Written) -> None:
        """Call `wake` first, so that everything on disk is sent even if a callback fails."""
        self._failures, self.failing_since = 0, None
        for key in written.keys:
            try:
                self.wake([key])
            except Exception:
                log.exception("commit.bug", what="queue", keys=["/".join(key)], count=1)
        errors = []
        for pending, did_apply in zip(batch, written.applied, strict=True):
            try:
                if pending.then is not None:
                    pending.then(did_apply)
            except Exception as error:
                errors.append((pending, error))
        self._report(errors, stored=True)
        try:
            self._count(written)
        except Exception:
            log.exception("observer.bug")
        if self._observers:
            changes = [pending.change for pending, did_apply in zip(batch, written.applied, strict=True) if did_apply]
            self._notify(lambda observer: observer.committed(changes))

    def _count(self, written: _Written) -> None:
        self._metrics.commit_s.observe(written.took_s)
        for event in written.events:
            if not event.is_release:
                self._metrics.events[event.topic] += 1
        _log_health(written.events)

    def _notify(self, notify: Callable[[StoreObserver], None]) -> None:
        for observer in self._observers:
            try:
                notify(observer)
            except Exception:
                log.exception("observer.bug")

    @staticmethod
    def _report(errors: Sequence[tuple[_Pending, Exception]], *, stored: bool) -> None:
        """Pass each error to the submitter of the change. Log the others in one line, with the first traceback."""
        unclaimed: list[tuple[Change, Exception]] = []
        for pending, error in errors:
            try:
                if pending.failed is None:
                    raise error
                pending.failed(error)
            except Exception as again:
                unclaimed.append((pending.change, again))
        if unclaimed:
            change, first = unclaimed[0]
            keys = [key_of(change) for change, _ in unclaimed[:MAX_KEYS]]
            event = "commit.bug" if stored else "change.bug"
            log.error(event, what=type(change).__name__, keys=keys, count=len(unclaimed), exc_info=first)

    async def _write_notes(self, notes: Sequence[Note]) -> None:
        """Store the first batch. After a bug, the next calls store each half of it, so that only one note is lost."""
        try:
            await self._offload(self._watches.note, notes)
            self._failures, self.failing_since = 0, None
        except StoreError:
            await self._wait()
            return
        except Exception:
            if (half := len(notes) // 2) > 0:
                self._note_batches[:1] = notes[:half], notes[half:]
                return
            log.exception("note.bug", count=1)  # a bug with a note must not stop the commits
        self._notify(lambda observer: observer.noted(notes))
        del self._note_batches[0]
        self._notes_written.set()


def _log_health(events: Sequence[Event]) -> None:
    for event in events:
        if event.topic is Topic.ENDPOINT_FAILING:
            log.error("endpoint.failing", endpoint=event.subject, reason=event.data["reason"])
        elif event.topic is Topic.ENDPOINT_RECOVERED:
            log.info("endpoint.recovered", endpoint=event.subject, reason=event.data["reason"])
