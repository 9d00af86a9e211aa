"""What SQLite runs for a transaction and for notes."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from bridge.store.notes import SET_MEMORY
from bridge.store.rows import WATCH_COLUMNS, Row
from bridge.store.sqlite.many import Many, json_rows

_MEMORY: Final = (
    "watch_id, phase, polls, failures, doubt_kind, doubt_answers, doubt_since_at, progress, progress_told,"
    " progress_told_at, input_told, next_poll_at, next_poll_why, at"
)
_OF_ITS_WATCH: Final = " FROM new WHERE watches.watch_id = new.watch_id"
_IDENTITY: Final = "account, task_id, generation"
_LIVE: Final = f" FROM new CROSS JOIN watches USING ({_IDENTITY}) WHERE watches.phase IN ('submitted', 'running')"

MEANT: Final = Many("task_id, account, generation", json_rows((*WATCH_COLUMNS, "watch_id")) + _LIVE)
NOTED: Final = Many(_IDENTITY, json_rows((*_IDENTITY.split(", "), "watch_id", "phase", "polls")) + _LIVE)
NOTE: Final = Many(_MEMORY, SET_MEMORY + _OF_ITS_WATCH)
TOLD_OF: Final = Many(
    "delivery_id",
    json_rows(("delivery_id", "state", "watch_id", "is_live")) + " FROM new CROSS JOIN deliveries USING (delivery_id)",
)
MOVE: Final = Many(
    f"{_MEMORY}, reason, ended_at, snapshot, urls",
    SET_MEMORY
    + ", reason = new.reason, ended_at = new.ended_at, snapshot = coalesce(new.snapshot, watches.snapshot)"
    + _OF_ITS_WATCH,
)
COUNT_READINGS: Final = Many(
    "watch_id, kind, count, first_at, last_at, last_detail",
    """
    INSERT INTO readings (watch_id, kind, count, first_at, last_at, last_detail) SELECT * FROM new WHERE true
    ON CONFLICT (watch_id, kind) DO UPDATE SET count = count + excluded.count, last_at = excluded.last_at,
        last_detail = excluded.last_detail
    """,
)
ADD_FACTS: Final = Many(
    "watch_id, at, what, detail", "INSERT INTO history (watch_id, at, what, detail) SELECT * FROM new"
)
ADD_EVENTS: Final = Many(
    "event_id, topic, account, subject, occurred_at",
    "INSERT INTO events (event_id, topic, account, subject, occurred_at) SELECT * FROM new WHERE true"
    " ON CONFLICT DO NOTHING",
)
# At once is 0, not the event's own instant: that is the wall clock's, which somebody may have set a year ahead.
ADD_DELIVERIES: Final = Many(
    "event_id, endpoint, target, slot, watch_id, is_live, created_at, body",
    """
    INSERT INTO deliveries (event_id, endpoint, target, watch_id, is_live, state, next_attempt_at, created_at, body)
    SELECT event_id, endpoint, target, watch_id, is_live, 'waiting', 0, created_at, body FROM new WHERE true
    ON CONFLICT DO NOTHING
    """,
)
CANCEL_OVERTAKEN: Final = Many(
    "watch_id, at",
    """
    UPDATE deliveries SET state = 'canceled', settled_at = new.at, next_attempt_at = NULL
    FROM new WHERE deliveries.watch_id = new.watch_id AND state = 'waiting' AND is_live
    """,
)
ADD_ATTEMPTS: Final = Many(
    "delivery_id, at, outcome, detail, duration_s",
    "INSERT INTO attempts (delivery_id, at, outcome, detail, duration_s) SELECT * FROM new WHERE true"
    " ON CONFLICT DO NOTHING",
)
SETTLE: Final = Many(
    "delivery_id, state, attempts, next_attempt_at, settled_at, last_outcome, last_detail",
    """
    UPDATE deliveries SET state = new.state, attempts = new.attempts, next_attempt_at = new.next_attempt_at,
        settled_at = new.settled_at, last_outcome = new.last_outcome, last_detail = new.last_detail
    FROM new WHERE deliveries.delivery_id = new.delivery_id AND deliveries.state = 'waiting'
    """,
)
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
        WHERE paused_until IS NULL OR paused_until NOT BETWEEN ?2 AND ?2 + 3600
"""
_ATTEMPT: Final = "SELECT 1 FROM attempts WHERE delivery_id = ? AND at = ?"
_DISABLE: Final = """
    INSERT INTO endpoints (endpoint, disabled_at, reason, count, fingerprint) VALUES (?1, ?2, ?3, 1, ?4)
    ON CONFLICT (endpoint) DO UPDATE SET disabled_at = ?2, reason = ?3, count = count + 1, fingerprint = ?4
        WHERE disabled_at IS NULL
    RETURNING count
"""


class SqliteStatements:
    """`transaction.Statements` on SQLite, where a transaction that writes is alone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def meant(self, wanted: Collection[Row]) -> Iterable[Row]:
        """See `Statements.meant`."""
        return MEANT.ask(self._connection, wanted)

    def told_of(self, delivery_ids: Collection[int]) -> Iterable[Row]:
        """See `Statements.told_of`."""
        return TOLD_OF.ask(self._connection, [(each,) for each in delivery_ids])

    def move(self, rows: Collection[Row]) -> None:
        """See `Statements.move`. The URLs stand in the snapshot."""
        MOVE.run(self._connection, rows)

    def count_readings(self, rows: Collection[Row]) -> None:
        """See `Statements.count_readings`."""
        COUNT_READINGS.run(self._connection, rows)

    def add_facts(self, rows: Collection[Row]) -> None:
        """See `Statements.add_facts`."""
        ADD_FACTS.run(self._connection, rows)

    def add_events(self, rows: Collection[Row]) -> None:
        """See `Statements.add_events`."""
        ADD_EVENTS.run(self._connection, rows)

    def add_deliveries(self, rows: Collection[Row]) -> None:
        """See `Statements.add_deliveries`. Nobody shares the work here: slots need not be kept."""
        ADD_DELIVERIES.run(self._connection, rows)

    def cancel_overtaken(self, rows: Collection[Row]) -> None:
        """See `Statements.cancel_overtaken`."""
        CANCEL_OVERTAKEN.run(self._connection, rows)

    def has_attempt(self, delivery_id: int, at: float) -> bool:
        """See `Statements.has_attempt`."""
        return self._connection.execute(_ATTEMPT, (delivery_id, at)).fetchone() is not None

    def add_attempts(self, rows: Collection[Row]) -> None:
        """See `Statements.add_attempts`."""
        ADD_ATTEMPTS.run(self._connection, rows)

    def settle(self, rows: Collection[Row]) -> None:
        """See `Statements.settle`."""
        SETTLE.run(self._connection, rows)

    def block(self, row: Row) -> bool:
        """See `Statements.block`."""
        return self._connection.execute(_BLOCK, row).rowcount == 1

    def restore(self, row: Row) -> bool:
        """See `Statements.restore`."""
        return self._connection.execute(_RESTORE, row).rowcount == 1

    def pause(self, row: Row) -> None:
        """See `Statements.pause`."""
        self._connection.execute(_PAUSE, row)

    def disable(self, row: Row) -> int | None:
        """See `Statements.disable`."""
        found = self._connection.execute(_DISABLE, row).fetchone()
        return None if found is None else int(found[0])
