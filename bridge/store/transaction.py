"""The changes of one transaction, whatever the engine: what they are about is read together, they are applied one by
one, and what comes of them is written together, in a few statements however many there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from bridge.domain.change import AccountChange, AccountPaused, Change, TaskChange
from bridge.domain.delivery import DELIVERY_FOLLOWS, AttemptMade, DeliveryState
from bridge.domain.event import LIVE_TOPICS, Event
from bridge.domain.shares import Share, endpoint_scope, slot_of
from bridge.domain.story import account_event, endpoint_event, task_event
from bridge.domain.task import LIVE
from bridge.domain.watch import Watch
from bridge.ports import Tell
from bridge.store.notes import ReadingCounts, memory_and_schedule
from bridge.store.rows import Row, json_text, plain, snapshot_text, watch


class Statements(Protocol):
    """What an engine runs for a transaction. Rows are those of the tables' columns; none is an empty collection."""

    def meant(self, wanted: Collection[Row]) -> Iterable[Row]:
        """`SELECT_WATCH` and the watch_id of those of these (task, account, generation) that there are, locked."""

    def told_of(self, delivery_ids: Collection[int]) -> Iterable[Row]:
        """delivery_id, state, watch_id and is_live of these deliveries, locked."""

    def move(self, rows: Collection[Row]) -> None:
        """Of watches: `memory_and_schedule`, reason, ended_at, snapshot, urls. A snapshot that is None changes none."""

    def count_readings(self, rows: Collection[Row]) -> None:
        """`ReadingCounts.rows`."""

    def add_facts(self, rows: Collection[Row]) -> None:
        """watch_id, at, what, detail."""

    def add_events(self, rows: Collection[Row]) -> None:
        """event_id, topic, account, subject, occurred_at. One that is there stays as it is."""

    def add_deliveries(self, rows: Collection[Row]) -> None:
        """event_id, endpoint, target, slot, watch_id, is_live, created_at, body. One that is there stays as it is."""

    def cancel_overtaken(self, rows: Collection[Row]) -> None:
        """watch_id and instant: what waits of its live topics is canceled."""

    def has_attempt(self, delivery_id: int, at: float) -> bool:
        """Whether this one has been written down before."""

    def add_attempts(self, rows: Collection[Row]) -> None:
        """delivery_id, at, outcome, detail, duration_s. One that is there stays as it is."""

    def settle(self, rows: Collection[Row]) -> None:
        """delivery_id, state, attempts, next_attempt_at, settled_at, last_outcome, last_detail of what waits."""

    def block(self, row: Row) -> bool:
        """account, blocked_at, reason, count; whether it was not blocked, nor had been so often."""

    def restore(self, row: Row) -> bool:
        """blocked_s, account; whether it was blocked."""

    def pause(self, row: Row) -> None:
        """account, paused_until."""

    def disable(self, row: Row) -> int | None:
        """endpoint, disabled_at, reason, fingerprint; how often it has been disabled by now, None if it already was."""


@dataclass(slots=True)
class _Live:
    """A live watch as this transaction leaves it."""

    watch_id: int
    watch: Watch
    moved: Row | None = None  # what is to be written of it
    ended_at: float | None = None


@dataclass(slots=True)
class _Told:
    """A delivery of which an outcome is told."""

    state: DeliveryState
    watch_id: int | None
    is_live: bool
    settled: Row | None = None


class Transaction:
    """Reads and locks what the changes are about; `apply` each in order, then `write`."""

    def __init__(
        self, statements: Statements, changes: Sequence[Change], *, tell: Tell, fingerprints: Mapping[str, str]
    ) -> None:
        self._statements = statements
        self._tell = tell
        self._fingerprints = fingerprints
        self._live = self._read_live([change for change in changes if isinstance(change, TaskChange)])
        self._told = self._read_told([change.delivery_id for change in changes if isinstance(change, AttemptMade)])
        self._told_live = [told for told in self._told.values() if told.is_live]
        self._counts = ReadingCounts()
        self._facts: list[Row] = []
        self._events: list[Row] = []
        self._deliveries: list[Row] = []
        self._attempts: list[AttemptMade] = []
        self.touches_all = self.ends = False  # what accounts and endpoints are is everybody's; a task has ended
        self.told: set[Share] = set()  # in which shares there is something new to deliver

    def apply(self, change: Change) -> bool:
        """Whether it applied. Each is guarded by what the store holds: applying it twice is harmless."""
        match change:
            case TaskChange():
                return self._move_watch(change)
            case AccountChange():
                self.touches_all = True
                return self._move_account(change)
            case AccountPaused():
                self.touches_all = True
                self._statements.pause((change.account, change.until_at))
                return True
            case AttemptMade():
                return self._settle(change)
            case _:
                assert_never(change)

    def write(self) -> None:
        """Put down all that the changes came to. Outcomes stand before the cancelling of what they settled."""
        live = list(self._live.values())
        self._statements.move([one.moved for one in live if one.moved])
        self._statements.count_readings(self._counts.rows())
        self._statements.add_facts(self._facts)
        self._write_attempts()
        self._statements.add_events(self._events)
        self._statements.add_deliveries(self._deliveries)
        self._statements.cancel_overtaken([(one.watch_id, one.ended_at) for one in live if one.ended_at is not None])

    def _read_live(self, changes: Sequence[TaskChange]) -> dict[Row, _Live]:
        live = {}
        wanted = {(change.note.key.task_id, change.note.key.account, change.note.generation) for change in changes}
        for *row, watch_id in self._statements.meant(wanted):
            found = watch(tuple(row))
            if found.state.memory.phase in LIVE:
                live[found.state.task_id, found.state.account, found.state.generation] = _Live(watch_id, found)
        return live

    def _read_told(self, delivery_ids: Sequence[int]) -> dict[int, _Told]:
        rows = self._statements.told_of(set(delivery_ids))
        return {
            delivery_id: _Told(DeliveryState(state), watch_id, bool(is_live))
            for delivery_id, state, watch_id, is_live in rows
        }

    def _move_watch(self, change: TaskChange) -> bool:
        note = change.note
        live = self._live.get((note.key.task_id, note.key.account, note.generation))
        if live is None or live.ended_at is not None:
            return False
        before, reason = live.watch, None if change.reason is None else plain(change.reason)
        snapshot = change.snapshot or before.snapshot
        if change.ends:
            live.ended_at = change.at  # so nothing asks any more what it is like
        else:
            live.watch = replace(before, state=before.state._replace(memory=note.memory), snapshot=snapshot)
        urls = None if snapshot is None else json_text(snapshot.urls)
        seen = (reason, live.ended_at, snapshot_text(snapshot), urls)
        live.moved = (*memory_and_schedule(live.watch_id, note), *seen)
        self._counts.add(live.watch_id, note)
        if note.memory.phase is not before.state.memory.phase:
            self._facts.append((live.watch_id, change.at, note.memory.phase, reason or ""))
        if change.ends:
            self.ends = True
            self._overtake(live.watch_id)
        event = task_event(before, change)
        if event is not None:
            self._put_out(event, live.watch_id, slot_of(note.key.task_id))
        return True

    def _overtake(self, watch_id: int) -> None:
        """An outcome told after the end comes too late for what the end cancels."""
        for told in self._told_live:
            if told.watch_id == watch_id and told.state is DeliveryState.WAITING:
                told.state = DeliveryState.CANCELED

    def _move_account(self, change: AccountChange) -> bool:
        if change.blocked:
            moved = self._statements.block((change.account, change.at, plain(change.reason), change.count))
        else:
            moved = self._statements.restore((change.blocked_s, change.account))
        if moved:
            self._put_out(account_event(change), None, slot_of(change.account))
        return moved

    def _settle(self, made: AttemptMade) -> bool:
        # A late outcome never moves what has been settled: only `redeliver` leads from there to waiting.
        assert made.state in DELIVERY_FOLLOWS[DeliveryState.WAITING]
        told = self._told.get(made.delivery_id)
        if told is None:
            return False
        self._attempts.append(made)
        if told.state is not DeliveryState.WAITING:
            return False
        told.state = made.state
        settled_at = None if made.state is DeliveryState.WAITING else made.at
        schedule = made.state, made.attempts, made.next_attempt_at, settled_at
        told.settled = (made.delivery_id, *schedule, made.outcome, plain(made.detail))
        return True

    def _write_attempts(self) -> None:
        disabling = {
            (made.delivery_id, made.at): made
            for made in self._attempts
            if made.disables and not self._statements.has_attempt(made.delivery_id, made.at)
        }
        rows = [
            (each.delivery_id, each.at, each.outcome, plain(each.detail), each.duration_s) for each in self._attempts
        ]
        self._statements.add_attempts(rows)
        self._statements.settle([told.settled for told in self._told.values() if told.settled])
        for made in disabling.values():
            self._disable(made.endpoint, reason=plain(made.detail), at=made.at)

    def _disable(self, endpoint: str, *, reason: str, at: float) -> None:
        count = self._statements.disable((endpoint, at, reason, self._fingerprints.get(endpoint)))
        if count is not None:
            self.touches_all = True
            self._put_out(endpoint_event(endpoint, count=count, reason=reason, at=at), None, slot_of(endpoint))

    def _put_out(self, event: Event, watch_id: int | None, slot: int) -> None:
        """Put the event's parcels into the outbox; an event that goes nowhere leaves no trace."""
        parcels = self._tell(event)
        if not parcels:
            return
        self._events.append((event.event_id, event.topic, event.account, plain(event.subject), event.occurred_at))
        is_live = event.topic in LIVE_TOPICS
        self.told.update(Share(endpoint_scope(parcel.endpoint), slot) for parcel in parcels)
        self._deliveries += [
            (event.event_id, parcel.endpoint, parcel.target, slot, watch_id, is_live, event.occurred_at, parcel.body)
            for parcel in parcels
        ]
