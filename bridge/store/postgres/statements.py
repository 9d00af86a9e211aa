"""What PostgreSQL runs for a transaction: a statement each, whose rows are one array for each column."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from bridge.store.notes import SET_MEMORY
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import add_facts, columns, count_readings
from bridge.store.postgres.watches import MEMORY_TYPES
from bridge.store.rows import SELECT_WATCH, Row

# Of any phase: one that named the live ones would be tempted, before there are statistics, by the index of those.
_MEANT: Final = """
    , watch_id FROM watches
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
# A shorter pause, told to a daemon that has not heard yet of a longer one, does not end that. But none is an hour
# longer: such a one was written by a wrong clock.
_PAUSE: Final = """
    INSERT INTO accounts AS known (account, paused_until) VALUES (%s, %s)
    ON CONFLICT (account) DO UPDATE SET paused_until = excluded.paused_until
        WHERE known.paused_until IS NULL
            OR known.paused_until NOT BETWEEN excluded.paused_until AND excluded.paused_until + 3600
"""
_ADD_ATTEMPTS: Final = """
    INSERT INTO attempts (delivery_id, at, outcome, detail, duration_s)
    SELECT * FROM unnest(%s::bigint[], %s::float8[], %s::text[], %s::text[], %s::float8[])
    ON CONFLICT DO NOTHING
"""
_ATTEMPT: Final = "SELECT 1 FROM attempts WHERE delivery_id = %s AND at = %s"
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


class PostgresStatements:
    """`transaction.Statements` on PostgreSQL."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def meant(self, wanted: Collection[Row]) -> Iterable[Row]:
        """See `Statements.meant`."""
        return self._link.execute(MEANT_WATCHES, columns("tti", wanted)) if wanted else ()

    def told_of(self, delivery_ids: Collection[int]) -> Iterable[Row]:
        """See `Statements.told_of`."""
        return self._link.execute(_TOLD_OF, (list(delivery_ids),)) if delivery_ids else ()

    def move(self, rows: Collection[Row]) -> None:
        """See `Statements.move`."""
        self._run(_TRANSIT, MEMORY_TYPES + "tftt", rows)

    def count_readings(self, rows: Collection[Row]) -> None:
        """See `Statements.count_readings`."""
        count_readings(self._link, rows)

    def add_facts(self, rows: Collection[Row]) -> None:
        """See `Statements.add_facts`."""
        add_facts(self._link, rows)

    def add_events(self, rows: Collection[Row]) -> None:
        """See `Statements.add_events`."""
        self._run(_ADD_EVENTS, "ttttf", rows)

    def add_deliveries(self, rows: Collection[Row]) -> None:
        """See `Statements.add_deliveries`."""
        self._run(_ADD_DELIVERIES, "tttiibfy", rows)

    def cancel_overtaken(self, rows: Collection[Row]) -> None:
        """See `Statements.cancel_overtaken`."""
        self._run(CANCEL_OVERTAKEN, "if", rows)

    def has_attempt(self, delivery_id: int, at: float) -> bool:
        """See `Statements.has_attempt`."""
        return self._link.execute(_ATTEMPT, (delivery_id, at)).fetchone() is not None

    def add_attempts(self, rows: Collection[Row]) -> None:
        """See `Statements.add_attempts`."""
        self._run(_ADD_ATTEMPTS, "ifttf", rows)

    def settle(self, rows: Collection[Row]) -> None:
        """See `Statements.settle`."""
        self._run(_SETTLE, "itifftt", rows)

    def block(self, row: Row) -> bool:
        """See `Statements.block`."""
        return self._link.execute(_BLOCK, row).rowcount == 1

    def restore(self, row: Row) -> bool:
        """See `Statements.restore`."""
        return self._link.execute(_RESTORE, row).rowcount == 1

    def pause(self, row: Row) -> None:
        """See `Statements.pause`."""
        self._link.execute(_PAUSE, row)

    def disable(self, row: Row) -> int | None:
        """See `Statements.disable`."""
        found = self._link.execute(_DISABLE, row).fetchone()
        return None if found is None else int(found[0])

    def _run(self, statement: str, types: str, rows: Collection[Row]) -> None:
        if rows:
            self._link.execute(statement, columns(types, rows))
