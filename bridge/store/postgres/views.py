"""Views: what the commands show. Reads only, beside running daemons or without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from bridge.domain.delivery import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.watch import Watch
from bridge.store import rows
from bridge.store.postgres.database import one
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import Part, revision
from bridge.store.views import Counts, DeliveryView, Story, WatchView, unknown

_VIEWS: Final = """
    SELECT account, task_id, action, label, meta, phase, added_at, ended_at, coalesce(poll_asked_at, next_poll_at),
        polls, progress, urls, reason
    FROM watches
"""
_VIEW: Final = _VIEWS + "WHERE task_id = %s AND account = %s"
_LIST: Final = (
    _VIEWS
    + """
    WHERE (%(phase)s::text IS NULL OR phase = %(phase)s) AND (%(account)s::text IS NULL OR account = %(account)s)
        AND (%(label)s::text IS NULL OR label = %(label)s)
    ORDER BY watch_id DESC LIMIT %(limit)s
"""
)
_WATCHES: Final = rows.SELECT_WATCH + " FROM watches "
_FIND: Final = _WATCHES + "WHERE task_id = %s AND (%s::text IS NULL OR account = %s) ORDER BY account"
_ONE: Final = rows.SELECT_WATCH + ", next_poll_why, watch_id FROM watches WHERE task_id = %s AND account = %s"
_DELIVERIES: Final = rows.SELECT_DELIVERY_VIEW + " FROM deliveries JOIN events USING (event_id) "
_DELIVERY_LIST: Final = (
    _DELIVERIES
    + """
    WHERE (%(state)s::text IS NULL OR state = %(state)s)
        AND (%(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s))
    ORDER BY delivery_id DESC LIMIT %(limit)s
"""
)
_DELIVERIES_OF_WATCH: Final = _DELIVERIES + "WHERE watch_id = %s ORDER BY delivery_id"
_ATTEMPTS: Final = """
    SELECT delivery_id, at, outcome, detail, duration_s FROM attempts WHERE delivery_id = ANY(%s) ORDER BY at
"""
_SOURCES: Final = "SELECT source FROM naming WHERE watch_id = %s ORDER BY source"
_HISTORY: Final = "SELECT at, what, detail FROM history WHERE watch_id = %s ORDER BY history_id"
_READINGS: Final = """
    SELECT kind, count, first_at, last_at, last_detail FROM readings WHERE watch_id = %s ORDER BY first_at, kind
"""
_LIVE: Final = "SELECT account, count(*) FROM watches WHERE phase IN ('submitted', 'running') GROUP BY account"
_DUE: Final = """
    SELECT count(*) FROM watches WHERE phase IN ('submitted', 'running') AND account = %s
        AND (next_poll_at IS NULL OR poll_asked_at IS NOT NULL OR next_poll_at <= %s)
"""
_WAITING: Final = """
    SELECT endpoint, count(*), min(created_at) FROM deliveries WHERE state = 'waiting' GROUP BY endpoint
"""
_DEAD: Final = """
    SELECT endpoint, count(*) FROM deliveries WHERE state = 'dead' AND state <> 'waiting' GROUP BY endpoint
"""
_BLOCKED: Final = "SELECT account, reason FROM accounts WHERE blocked_at IS NOT NULL ORDER BY account"
_DISABLED: Final = "SELECT endpoint, reason FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint"


class ViewsPart(Part):
    """`views.Views` on PostgreSQL."""

    def list_watches(
        self,
        *,
        phase: Phase | None = None,
        account: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> list[WatchView]:
        """See `views.Views.list_watches`."""
        wanted = {"phase": phase, "account": account, "label": label, "limit": limit}
        with self._database.read() as link:
            return [rows.watch_view(row) for row in link.execute(_LIST, wanted)]

    def find(self, task_id: str, account: str | None = None) -> list[Watch]:
        """See `views.Views.find`."""
        with self._database.read() as link:
            return [rows.watch(row) for row in link.execute(_FIND, (task_id, account, account))]

    def view(self, key: WatchKey) -> WatchView:
        """See `views.Views.view`."""
        with self._database.read() as link:
            row = link.execute(_VIEW, (key.task_id, key.account)).fetchone()
            if row is None:
                raise unknown(key)
            return rows.watch_view(row)

    def story(self, key: WatchKey) -> Story:
        """See `views.Views.story`."""
        with self._database.read() as link:
            row = link.execute(_ONE, (key.task_id, key.account)).fetchone()
            if row is None:
                raise unknown(key)
            *watch, next_poll_why, watch_id = row
            return Story(
                watch=rows.watch(tuple(watch)),
                sources=tuple(source for (source,) in link.execute(_SOURCES, (watch_id,))),
                history=tuple(rows.fact(row) for row in link.execute(_HISTORY, (watch_id,))),
                readings=tuple(rows.reading_count(row) for row in link.execute(_READINGS, (watch_id,))),
                deliveries=tuple(_deliveries_of(link, watch_id)),
                next_poll_why=next_poll_why,
                disabled=dict(link.execute(_DISABLED).fetchall()),
            )

    def count_due(self, account: str, now: float) -> int:
        """See `views.Views.count_due`."""
        with self._database.read() as link:
            return int(one(link.execute(_DUE, (account, now)))[0])

    def list_deliveries(
        self, *, state: DeliveryState | None = None, event_ids: Sequence[str] = (), limit: int | None = None
    ) -> list[DeliveryView]:
        """See `views.Views.list_deliveries`."""
        wanted = {"state": state, "event_ids": list(event_ids) or None, "limit": limit}
        with self._database.read() as link:
            found = link.execute(_DELIVERY_LIST, wanted)
            return [rows.delivery_view(row) for row in found]

    def deliveries_of(self, key: WatchKey) -> list[DeliveryView]:
        """See `views.Views.deliveries_of`."""
        with self._database.read() as link:
            row = link.execute(
                "SELECT watch_id FROM watches WHERE task_id = %s AND account = %s", (key.task_id, key.account)
            ).fetchone()
            return [] if row is None else _deliveries_of(link, row[0])

    def counts(self) -> Counts:
        """See `views.Views.counts`."""
        with self._database.read() as link:
            phases = link.execute("SELECT phase, count(*) FROM watches GROUP BY phase")
            watches = {Phase(phase): count for phase, count in phases}
            waiting = link.execute(_WAITING).fetchall()
            return Counts(
                watches=watches,
                live_by_account=dict(link.execute(_LIVE).fetchall()),
                waiting_by_endpoint={endpoint: count for endpoint, count, _ in waiting},
                dead_by_endpoint=dict(link.execute(_DEAD).fetchall()),
                oldest_waiting_at=min((oldest_at for _, _, oldest_at in waiting), default=None),
                blocked=dict(link.execute(_BLOCKED).fetchall()),
                disabled=dict(link.execute(_DISABLED).fetchall()),
            )

    def ping(self) -> None:
        """Return when the store answers; StoreError is an answer too."""
        with self._database.read() as link:
            revision(link)


def _deliveries_of(link: Link, watch_id: int) -> list[DeliveryView]:
    found = link.execute(_DELIVERIES_OF_WATCH, (watch_id,)).fetchall()
    made: dict[int, list[rows.Row]] = defaultdict(list)
    delivery_ids: Sequence[int] = [row[0] for row in found]
    for delivery_id, *attempt in link.execute(_ATTEMPTS, (delivery_ids,)) if found else ():
        made[delivery_id].append(tuple(attempt))
    return [rows.delivery_view(row, made[row[0]]) for row in found]
