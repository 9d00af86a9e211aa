"""Views: what the commands show. Reads only, beside a running daemon or without one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from bridge.domain.delivery import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.watch import Watch
from bridge.ports import News
from bridge.store import rows
from bridge.store.sqlite.part import Part, revision
from bridge.store.views import Counts, DeliveryView, Story, WatchView, unknown

_VIEWS: Final = """
    SELECT account, task_id, action, label, meta, phase, added_at, ended_at, coalesce(poll_asked_at, next_poll_at),
        polls, progress, json_extract(snapshot, '$.urls'), reason
    FROM watches
"""
_VIEW: Final = _VIEWS + "WHERE task_id = ? AND account = ?"
_LIST: Final = (
    _VIEWS
    + """
    WHERE (?1 IS NULL OR phase = ?1) AND (?2 IS NULL OR account = ?2) AND (?3 IS NULL OR label = ?3)
    ORDER BY watch_id DESC LIMIT ?4
"""
)
_WATCHES: Final = rows.SELECT_WATCH + " FROM watches "
_FIND: Final = _WATCHES + "WHERE task_id = ?1 AND (?2 IS NULL OR account = ?2) ORDER BY account"
_ONE: Final = rows.SELECT_WATCH + ", next_poll_why, watch_id FROM watches WHERE task_id = ? AND account = ?"
_DELIVERIES: Final = rows.SELECT_DELIVERY_VIEW + " FROM deliveries JOIN events USING (event_id) "
_IN_STATE_OF: Final = """
    WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR event_id IN (SELECT value FROM json_each(?2)))
    ORDER BY delivery_id DESC LIMIT ?3
"""
_DELIVERY_LIST: Final = _DELIVERIES + _IN_STATE_OF
_DELIVERIES_OF_WATCH: Final = _DELIVERIES + "WHERE watch_id = ? ORDER BY delivery_id"
_ATTEMPTS: Final = "SELECT at, outcome, detail, duration_s FROM attempts WHERE delivery_id = ? ORDER BY at"
_SOURCES: Final = "SELECT source FROM naming WHERE watch_id = ? ORDER BY source"
_HISTORY: Final = "SELECT at, what, detail FROM history WHERE watch_id = ? ORDER BY history_id"
_READINGS: Final = """
    SELECT kind, count, first_at, last_at, last_detail FROM readings WHERE watch_id = ? ORDER BY first_at, kind
"""
_LIVE: Final = "SELECT account, count(*) FROM watches WHERE phase IN ('submitted', 'running') GROUP BY account"
_DUE: Final = """
    SELECT count(*) FROM watches WHERE phase IN ('submitted', 'running') AND account = ?
        AND (next_poll_at IS NULL OR poll_asked_at IS NOT NULL OR next_poll_at <= ?)
"""
# Two statements, one for each partial index.
_WAITING: Final = """
    SELECT endpoint, count(*), min(created_at) FROM deliveries WHERE state = 'waiting' GROUP BY endpoint
"""
_DEAD: Final = """
    SELECT endpoint, count(*) FROM deliveries WHERE state = 'dead' AND state <> 'waiting' GROUP BY endpoint
"""
_BLOCKED: Final = "SELECT account, reason FROM accounts WHERE blocked_at IS NOT NULL ORDER BY account"
_DISABLED: Final = "SELECT endpoint, reason FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint"

_ALL: Final = -1  # SQLite's word for no limit


class ViewsPart(Part):
    """`views.Views` on SQLite, and what the daemon asks about the store itself."""

    def list_watches(
        self,
        *,
        phase: Phase | None = None,
        account: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> list[WatchView]:
        """See `views.Views.list_watches`."""
        with self._database.read() as connection:
            found = connection.execute(_LIST, (phase, account, label, _ALL if limit is None else limit))
            return [rows.watch_view(row) for row in found]

    def find(self, task_id: str, account: str | None = None) -> list[Watch]:
        """See `views.Views.find`."""
        with self._database.read() as connection:
            return [rows.watch(row) for row in connection.execute(_FIND, (task_id, account))]

    def view(self, key: WatchKey) -> WatchView:
        """See `views.Views.view`."""
        with self._database.read() as connection:
            row = connection.execute(_VIEW, (key.task_id, key.account)).fetchone()
            if row is None:
                raise unknown(key)
            return rows.watch_view(row)

    def story(self, key: WatchKey) -> Story:
        """See `views.Views.story`."""
        with self._database.read() as connection:
            row = connection.execute(_ONE, (key.task_id, key.account)).fetchone()
            if row is None:
                raise unknown(key)
            *watch, next_poll_why, watch_id = row
            return Story(
                watch=rows.watch(tuple(watch)),
                sources=tuple(source for (source,) in connection.execute(_SOURCES, (watch_id,))),
                history=tuple(rows.fact(row) for row in connection.execute(_HISTORY, (watch_id,))),
                readings=tuple(rows.reading_count(row) for row in connection.execute(_READINGS, (watch_id,))),
                deliveries=tuple(_with_attempts(connection, connection.execute(_DELIVERIES_OF_WATCH, (watch_id,)))),
                next_poll_why=next_poll_why,
                disabled=dict(connection.execute(_DISABLED).fetchall()),
            )

    def count_due(self, account: str, now: float) -> int:
        """See `views.Views.count_due`."""
        with self._database.read() as connection:
            return int(connection.execute(_DUE, (account, now)).fetchone()[0])

    def list_deliveries(
        self, *, state: DeliveryState | None = None, event_ids: Sequence[str] = (), limit: int | None = None
    ) -> list[DeliveryView]:
        """See `views.Views.list_deliveries`."""
        wanted = json.dumps(list(event_ids)) if event_ids else None
        with self._database.read() as connection:
            found = connection.execute(_DELIVERY_LIST, (state, wanted, _ALL if limit is None else limit))
            return [rows.delivery_view(row) for row in found]

    def deliveries_of(self, key: WatchKey) -> list[DeliveryView]:
        """See `views.Views.deliveries_of`."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT watch_id FROM watches WHERE task_id = ? AND account = ?", (key.task_id, key.account)
            ).fetchone()
            if row is None:
                return []
            return _with_attempts(connection, connection.execute(_DELIVERIES_OF_WATCH, row))

    def counts(self) -> Counts:
        """See `views.Views.counts`."""
        with self._database.read() as connection:
            phases = connection.execute("SELECT phase, count(*) FROM watches GROUP BY phase")
            watches = {Phase(phase): count for phase, count in phases}
            waiting = connection.execute(_WAITING).fetchall()
            return Counts(
                watches=watches,
                live_by_account=dict(connection.execute(_LIVE).fetchall()),
                waiting_by_endpoint={endpoint: count for endpoint, count, _ in waiting},
                dead_by_endpoint=dict(connection.execute(_DEAD).fetchall()),
                oldest_waiting_at=min((oldest_at for _, _, oldest_at in waiting), default=None),
                blocked=dict(connection.execute(_BLOCKED).fetchall()),
                disabled=dict(connection.execute(_DISABLED).fetchall()),
            )

    def news(self) -> News:
        """See `ports.Newsworthy.news`: whether another connection has committed."""
        return News(work=self._database.data_version())

    def ping(self) -> None:
        """Return when the store answers; StoreError is an answer too."""
        with self._database.read() as connection:
            revision(connection)

    def is_syncing(self) -> bool:
        """Whether a commit is on its way to the disk right now. To be asked from another thread: waits for nothing."""
        return self._database.is_syncing


def _with_attempts(connection: sqlite3.Connection, found: Iterable[rows.Row]) -> list[DeliveryView]:
    return [rows.delivery_view(row, connection.execute(_ATTEMPTS, (row[0],)).fetchall()) for row in found]
