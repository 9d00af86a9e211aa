"""The changes of one transaction: what they are about is read together, they are applied one by one, and what comes of
them is written together, in a few statements however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from bridge.domain.change import AccountChange, AccountPaused, Change, TaskChange
from bridge.domain.delivery import DELIVERY_FOLLOWS, AttemptMade, DeliveryState
from bridge.domain.event import LIVE_TOPICS, Event
from bridge.domain.shares import Share, endpoint_scope, slot_of
from bridge.domain.story import account_event, endpoint_event, task_event
from bridge.domain.task import LIVE
from bridge.domain.watch import Watch
from bridge.ports import Tell
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import add_facts, columns, count_readings, memory_and_schedule
from bridge.store.postgres.watches import MEMORY_TYPES, SET_MEMORY
from bridge.store.readings import ReadingCounts
from bridge.store.rows import SELECT_WATCH, Row, json_text, plain, snapshot_text, watch

# Of any phase: one that named the live ones would be tempted, before there are statistics, by the index of those.
_MEANT: Final = """
    , watch_id, slot FROM watches
    WHERE (task_id, account, generation) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::int[]))
    ORDER BY watch_id FOR NO KEY UPDATE
"""
MEANT_WATCHES: Final = SELECT_WATCH + _MEANT
_TOLD_OF: Final = """
    SELECT delivery_id, state, watch_id, is_live FROM deliveries
    WHERE delivery_id = ANY(%s) ORDER BY delivery_id FOR NO KEY UPDATE
"""
_TRANSIT: Final = (
    SET_MEMORY
    + """, reason = new.reason, ended_at = new.ended_at, snapshot = coalesce(new.snapshot, watches.snapshot),
        urls = CASE WHEN new.snapshot IS NULL THEN watches.urls ELSE new.urls END
    FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::text[], %s::int[], %s::float8[], %s::float8[],
        %s::float8[], %s::float8[], %s::bool[], %s::float8[], %s::text[], %s::float8[], %s::text[], %s::float8[],
        %s::text[], %s::text[]) AS new (watch_id, phase, polls, failures, doubt_kind, doubt_answers, doubt_since_at,
        progress, progress_told, progress_told_at, input_told, next_poll_at, next_poll_why, at, reason, ended_at,
        snapshot, urls)
    WHERE watches.watch_id = new.watch_id
"""
)
CANCEL_OVERTAKEN: Final = """
    UPDATE deliveries SET state = 'canceled', settled_at = ended.at, next_attempt_at = NULL
    FROM unnest(%s::bigint[], %s::float8[]) AS ended (watch_id, at)
    WHERE deliveries.watch_id = ended.watch_id AND state = 'waiting' AND is_live
"""
_ADD_EVENTS: Final = """
    INSERT INTO events (event_id, topic, account, subject, occurred_at)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::float8[])
    ON CONFLICT DO NOTHING
"""
# At once is 0, not the event's own instant: that is the wall clock's, which somebody may have set a year ahead.
_ADD_DELIVERIES: Final = """
    INSERT INTO deliveries (event_id, endpoint, target, slot, watch_id, is_live, state, next_attempt_at, created_at,
        body)
    SELECT event_id, endpoint, target, slot, watch_id, is_live, 'waiting', 0, created_at, body
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::bigint[], %s::bool[], %s::float8[], %s::bytea[])
        WITH ORDINALITY AS new (event_id, endpoint, target, slot, watch_id, is_live, created_at, body, place)
    ORDER BY place
    ON CONFLICT DO NOTHING
"""
_BLOCK: Final = """
    INSERT INTO accounts AS known (account, blocked_at, reason, count) VALUES (%s, %s, %s, %s)
    ON CONFLICT (account) DO UPDATE SET blocked_at = excluded.blocked_at, reason = excluded.reason,
        count = excluded.count
        WHERE known.blocked_at IS NULL AND known.count < excluded.count
"""
_RESTORE: Final = """
    UPDATE accounts SET blocked_at = NULL, blocked_s = %s WHERE account = %s AND blocked_at IS NOT NULL
"""
_PAUSE: Final = """
    INSERT INTO accounts (account, paused_until) VALUES (%s, %s)
    ON CONFLICT (account) DO UPDATE SET paused_until = excluded.paused_until
"""
_ADD_ATTEMPTS: Final = """
    INSERT INTO attempts (delivery_id, at, outcome, detail, duration_s)
    SELECT * FROM unnest(%s::bigint[], %s::float8[], %s::text[], %s::text[], %s::float8[])
    ON CONFLICT DO NOTHING
    RETURNING delivery_id, at
"""
_SETTLE: Final = """
    UPDATE deliveries SET state = new.state, attempts = new.attempts, next_attempt_at = new.next_attempt_at,
        settled_at = new.settled_at, last_outcome = new.last_outcome, last_detail = new.last_detail
    FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::float8[], %s::float8[], %s::text[], %s::text[])
        AS new (delivery_id, state, attempts, next_attempt_at, settled_at, last_outcome, last_detail)
    WHERE deliveries.delivery_id = new.delivery_id AND deliveries.state = 'waiting'
"""
_DISABLE: Final = """
    INSERT INTO endpoints AS known (endpoint, disabled_at, reason, count, fingerprint) VALUES (%s, %s, %s, 1, %s)
    ON CONFLICT (endpoint) DO UPDATE SET disabled_at = excluded.disabled_at, reason = excluded.reason,
        count = known.count + 1, fingerprint = excluded.fingerprint
        WHERE known.disabled_at IS NULL
    RETURNING count
"""


@dataclass(slots=True)
class _Live:
    """A live watch as this transaction leaves it."""

    watch_id: int
    slot: int
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

    def __init__(self, link: Link, changes: Sequence[Change], *, tell: Tell, fingerprints: Mapping[str, str]) -> None:
        self._link = link
        self._tell = tell
        self._fingerprints = fingerprints
        self._live = self._read_live([change for change in changes if isinstance(change, TaskChange)])
        self._told = self._read_told([change.delivery_id for change in changes if isinstance(change, AttemptMade)])
        self._counts = ReadingCounts()
        self._facts: list[Row] = []
        self._events: list[Row] = []
        self._deliveries: list[Row] = []
        self._attempts: list[AttemptMade] = []
        self.touches_all = self.ends = False
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
                self._link.execute(_PAUSE, (change.account, change.until_at))
                return True
            case AttemptMade():
                return self._settle(change)
            case _:
                assert_never(change)

    def write(self) -> None:
        """Put down all that the changes came to. Outcomes stand before the cancelling of what they settled."""
        link = self._link
        live = list(self._live.values())
        if moved := [one.moved for one in live if one.moved]:
            link.execute(_TRANSIT, columns(MEMORY_TYPES + "tftt", moved))
        count_readings(link, self._counts)
        add_facts(link, self._facts)
        self._write_attempts()
        if self._events:
            link.execute(_ADD_EVENTS, columns("ttttf", self._events))
            link.execute(_ADD_DELIVERIES, columns("tttiibfy", self._deliveries))
        if ended := [(one.watch_id, one.ended_at) for one in live if one.ended_at is not None]:
            link.execute(CANCEL_OVERTAKEN, columns("if", ended))

    def _read_live(self, changes: Sequence[TaskChange]) -> dict[Row, _Live]:
        if not changes:
            return {}
        wanted = {(change.note.key.task_id, change.note.key.account, change.note.generation) for change in changes}
        live = {}
        for *row, watch_id, slot in self._link.execute(MEANT_WATCHES, columns("tti", wanted)):
            found = watch(tuple(row))
            if found.state.memory.phase in LIVE:
                live[found.state.task_id, found.state.account, found.state.generation] = _Live(watch_id, slot, found)
        return live

    def _read_told(self, delivery_ids: Sequence[int]) -> dict[int, _Told]:
        if not delivery_ids:
            return {}
        rows = self._link.execute(_TOLD_OF, (list(delivery_ids),))
        return {delivery_id: _Told(DeliveryState(state), *rest) for delivery_id, state, *rest in rows}

    def _move_watch(self, change: TaskChange) -> bool:
        note = change.note
        live = self._live.get((note.key.task_id, note.key.account, note.generation))
        if live is None or live.ended_at is not None:
            return False
        before, reason = live.watch, None if change.reason is None else plain(change.reason)
        snapshot = change.snapshot or before.snapshot
        live.watch = replace(before, state=before.state._replace(memory=note.memory), snapshot=snapshot)
        live.ended_at = change.at if change.ends else None
        urls = None if snapshot is None else json_text(snapshot.urls)
        seen = (reason, live.ended_at, snapshot_text(snapshot), urls)
        live.moved = (*memory_and_schedule(live.watch_id, note), *seen)
        self._counts.add(live.watch_id, note)
        if note.memory.phase is not before.state.memory.phase:
            self._facts.append((live.watch_id, change.at, note.memory.phase, reason or ""))
        if change.ends:
            self.ends = True
            for told in self._told.values():
                if told.watch_id == live.watch_id and told.is_live and told.state is DeliveryState.WAITING:
                    told.state = DeliveryState.CANCELED
        event = task_event(before, change)
        if event is not None:
            self._put_out(event, live.watch_id, live.slot)
        return True

    def _move_account(self, change: AccountChange) -> bool:
        if change.blocked:
            row = (change.account, change.at, plain(change.reason), change.count)
            moved = self._link.execute(_BLOCK, row).rowcount
        else:
            moved = self._link.execute(_RESTORE, (change.blocked_s, change.account)).rowcount
        if moved:
            self._put_out(account_event(change), None, slot_of(change.account))
        return bool(moved)

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
        told.settled = (
            made.delivery_id,
            made.state,
            made.attempts,
            made.next_attempt_at,
            settled_at,
            made.outcome,
            plain(made.detail),
        )
        return True

    def _write_attempts(self) -> None:
        if not self._attempts:
            return
        rows = [
            (made.delivery_id, made.at, made.outcome, plain(made.detail), made.duration_s) for made in self._attempts
        ]
        told_first = {tuple(row) for row in self._link.execute(_ADD_ATTEMPTS, columns("ifttf", rows))}
        if settled := [told.settled for told in self._told.values() if told.settled]:
            self._link.execute(_SETTLE, columns("itifftt", settled))
        for made in self._attempts:
            if made.disables and (made.delivery_id, made.at) in told_first:
                told_first.remove((made.delivery_id, made.at))
                self._disable(made.endpoint, reason=plain(made.detail), at=made.at)

    def _disable(self, endpoint: str, *, reason: str, at: float) -> None:
        row = (endpoint, at, reason, self._fingerprints.get(endpoint))
        disabled = self._link.execute(_DISABLE, row).fetchone()
        if disabled is not None:
            self.touches_all = True
            event = endpoint_event(endpoint, count=disabled[0], reason=reason, at=at)
            self._put_out(event, None, slot_of(endpoint))

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
