"""Commits: the one door for transitions and outcomes, each with the event it causes and that event's deliveries."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from bridge.domain.change import AccountChange, AccountPaused, AccountState, Change, TaskChange
from bridge.domain.delivery import DELIVERY_FOLLOWS, AttemptMade, DeliveryState
from bridge.domain.event import LIVE_TOPICS, Event
from bridge.domain.story import account_event, endpoint_event, task_event
from bridge.ports import Tell
from bridge.store.readings import ReadingCounts
from bridge.store.rows import SELECT_ACCOUNT, SELECT_WATCH, account_state, plain, snapshot_text, watch
from bridge.store.sqlite.part import ADD_FACT, Part
from bridge.store.sqlite.watches import SET_MEMORY, count_readings, memory_and_schedule

LIVE_WATCH: Final = (
    SELECT_WATCH
    + ", watch_id FROM watches WHERE task_id = ? AND account = ? AND generation = ?"
    + " AND phase IN ('submitted', 'running')"
)
_TRANSIT: Final = SET_MEMORY + ", reason = ?, ended_at = ?, snapshot = coalesce(?, snapshot) WHERE watch_id = ?"
CANCEL_OVERTAKEN: Final = """
    UPDATE deliveries SET state = 'canceled', settled_at = ?, next_attempt_at = NULL
    WHERE watch_id = ? AND state = 'waiting' AND is_live
"""
_ADD_EVENT: Final = """
    INSERT OR IGNORE INTO events (event_id, topic, account, subject, occurred_at) VALUES (?, ?, ?, ?, ?)
"""
# At once is 0, not the event's own instant: that is the wall clock's, which somebody may have set a year ahead.
_ADD_DELIVERY: Final = """
    INSERT OR IGNORE INTO deliveries (event_id, endpoint, target, watch_id, is_live, state, next_attempt_at,
        created_at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', 0, ?6, ?7)
"""
_BLOCK: Final = """
    INSERT INTO accounts (account, blocked_at, reason, count) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (account) DO UPDATE SET blocked_at = ?2, reason = ?3, count = ?4
        WHERE blocked_at IS NULL AND count < ?4
"""
_RESTORE: Final = """
    UPDATE accounts SET blocked_at = NULL, blocked_s = ? WHERE account = ? AND blocked_at IS NOT NULL
"""
_PAUSE: Final = """
    INSERT INTO accounts (account, paused_until) VALUES (?1, ?2)
    ON CONFLICT (account) DO UPDATE SET paused_until = ?2
"""
_ADD_ATTEMPT: Final = """
    INSERT OR IGNORE INTO attempts (delivery_id, at, outcome, detail, duration_s)
    SELECT delivery_id, ?, ?, ?, ? FROM deliveries WHERE delivery_id = ?
"""
_SETTLE: Final = """
    UPDATE deliveries SET state = ?, attempts = ?, next_attempt_at = ?, settled_at = ?, last_outcome = ?,
        last_detail = ?
    WHERE delivery_id = ? AND state = 'waiting'
"""
_DISABLE: Final = """
    INSERT INTO endpoints (endpoint, disabled_at, reason, count, fingerprint) VALUES (?1, ?2, ?3, 1, ?4)
    ON CONFLICT (endpoint) DO UPDATE SET disabled_at = ?2, reason = ?3, count = count + 1, fingerprint = ?4
        WHERE disabled_at IS NULL
"""


class CommitsPart(Part):
    """`ports.Commits` on SQLite."""

    def commit(self, changes: Sequence[Change], tell: Tell) -> list[bool]:
        """See `ports.Commits.commit`. What `tell` raises passes through, and none of the changes has been applied."""
        if not changes:
            return []
        with self._database.write() as connection:
            ledger = _Transaction(connection, tell, self._fingerprints)
            return [ledger.apply(change) for change in changes]

    def accounts(self) -> Mapping[str, AccountState]:
        """See `ports.Commits.accounts`."""
        with self._database.read() as connection:
            rows = connection.execute(SELECT_ACCOUNT + " FROM accounts")
            return {row[0]: account_state(row) for row in rows}


class _Transaction:
    """The changes of one transaction. Each is guarded by what the store holds: applying it twice is harmless."""

    def __init__(self, connection: sqlite3.Connection, tell: Tell, fingerprints: Mapping[str, str]) -> None:
        self._connection = connection
        self._tell = tell
        self._fingerprints = fingerprints

    def apply(self, change: Change) -> bool:
        match change:
            case TaskChange():
                return self._move_watch(change)
            case AccountChange():
                return self._move_account(change)
            case AccountPaused():
                self._connection.execute(_PAUSE, (change.account, change.until_at))
                return True
            case AttemptMade():
                return self._settle(change)
            case _:
                assert_never(change)

    def _move_watch(self, change: TaskChange) -> bool:
        note = change.note
        row = self._connection.execute(LIVE_WATCH, (note.key.task_id, note.key.account, note.generation)).fetchone()
        if row is None:
            return False
        watch_id, before = row[-1], watch(row[:-1])
        reason = None if change.reason is None else plain(change.reason)
        ended_at = change.at if change.ends else None
        seen = (reason, ended_at, snapshot_text(change.snapshot), watch_id)
        counts = ReadingCounts()
        counts.add(watch_id, note)
        count_readings(self._connection, counts)
        self._connection.execute(_TRANSIT, memory_and_schedule(note) + seen)
        if note.memory.phase is not before.state.memory.phase:
            self._connection.execute(ADD_FACT, (watch_id, change.at, note.memory.phase, reason or ""))
        if change.ends:
            self._connection.execute(CANCEL_OVERTAKEN, (change.at, watch_id))
        event = task_event(before, change)
        if event is not None:
            self._put_out(event, watch_id)
        return True

    def _move_account(self, change: AccountChange) -> bool:
        if change.blocked:
            row = (change.account, change.at, plain(change.reason), change.count)
            moved = self._connection.execute(_BLOCK, row).rowcount
        else:
            moved = self._connection.execute(_RESTORE, (change.blocked_s, change.account)).rowcount
        if moved:
            self._put_out(account_event(change), None)
        return bool(moved)

    def _settle(self, made: AttemptMade) -> bool:
        detail = plain(made.detail)
        attempt = (made.at, made.outcome, detail, made.duration_s, made.delivery_id)
        is_first_told = self._connection.execute(_ADD_ATTEMPT, attempt).rowcount == 1
        # A late outcome never moves what has been settled: only `redeliver` leads from there to waiting.
        assert made.state in DELIVERY_FOLLOWS[DeliveryState.WAITING]
        settled_at = None if made.state is DeliveryState.WAITING else made.at
        settled = (made.state, made.attempts, made.next_attempt_at, settled_at, made.outcome, detail, made.delivery_id)
        moved = self._connection.execute(_SETTLE, settled).rowcount == 1
        if made.disables and is_first_told:
            self._disable(made.endpoint, reason=detail, at=made.at)
        return moved

    def _disable(self, endpoint: str, *, reason: str, at: float) -> None:
        row = (endpoint, at, reason, self._fingerprints.get(endpoint))
        if self._connection.execute(_DISABLE, row).rowcount == 1:
            count = self._connection.execute("SELECT count FROM endpoints WHERE endpoint = ?", (endpoint,)).fetchone()[
                0
            ]
            self._put_out(endpoint_event(endpoint, count=count, reason=reason, at=at), None)

    def _put_out(self, event: Event, watch_id: int | None) -> None:
        """Put the event's parcels into the outbox; an event that goes nowhere leaves no trace."""
        parcels = self._tell(event)
        if not parcels:
            return
        self._connection.execute(
            _ADD_EVENT, (event.event_id, event.topic, event.account, plain(event.subject), event.occurred_at)
        )
        is_live = event.topic in LIVE_TOPICS
        self._connection.executemany(
            _ADD_DELIVERY,
            [
                (event.event_id, parcel.endpoint, parcel.target, watch_id, is_live, event.occurred_at, parcel.body)
                for parcel in parcels
            ],
        )
