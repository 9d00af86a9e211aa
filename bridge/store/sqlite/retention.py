"""Retention: what keeps a store from growing for ever."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from bridge.store.sqlite.part import Part

VACUUM_PAGES: Final = 1000  # given back at a time: 4 MB, a few milliseconds

OLD_DELIVERIES: Final = """
    SELECT delivery_id, event_id FROM deliveries WHERE state = ?1 AND state <> 'waiting' AND settled_at < ?2 LIMIT ?3
"""
_DELETE_DELIVERIES: Final = """
    DELETE FROM deliveries WHERE delivery_id IN (SELECT value FROM json_each(?)) AND state <> 'waiting'
"""
_DELETE_ORPHANS: Final = """
    DELETE FROM events WHERE event_id IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.event_id)
"""
OLD_WATCHES: Final = """
    SELECT watch_id, EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND is_listed)
    FROM watches
    WHERE ended_at < ? AND is_tombstone = 0
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.watch_id = watches.watch_id)
    LIMIT ?
"""
_CUT_DOWN: Final = """
    UPDATE watches SET is_tombstone = 1, label = NULL, endpoints = NULL, meta = '{}', snapshot = NULL, reason = NULL,
        next_poll_why = ''
    WHERE watch_id = ?
"""


class RetentionPart(Part):
    """Deletes what has been kept long enough."""

    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        """Delete what was settled or ended longer ago than so many seconds; returns how many deliveries and watches
        went, at most `limit`. Zero means that nothing is left to prune.

        Watches go only after all their deliveries. One that a list still names is cut down to a tombstone, so that the
        list's next reading does not watch it anew; it goes when the list drops it.
        """
        with self._database.write() as connection:
            gone = 0
            for state, kept_s in (("accepted", delivered_s), ("canceled", delivered_s), ("dead", dead_s)):
                gone += _prune_deliveries(connection, state, before=now - kept_s, limit=limit - gone)
            gone += _prune_watches(connection, before=now - ended_s, limit=limit - gone)
        self._database.vacuum(pages=VACUUM_PAGES)
        return gone


def _prune_deliveries(connection: sqlite3.Connection, state: str, *, before: float, limit: int) -> int:
    old = connection.execute(OLD_DELIVERIES, (state, before, limit)).fetchall()
    if old:
        connection.execute(_DELETE_DELIVERIES, (json.dumps([delivery_id for delivery_id, _ in old]),))
        connection.execute(_DELETE_ORPHANS, (json.dumps([event_id for _, event_id in old]),))
    return len(old)


def _prune_watches(connection: sqlite3.Connection, *, before: float, limit: int) -> int:
    old = connection.execute(OLD_WATCHES, (before, limit)).fetchall()
    for watch_id, is_listed in old:
        if is_listed:
            connection.execute(_CUT_DOWN, (watch_id,))
            connection.execute("DELETE FROM readings WHERE watch_id = ?", (watch_id,))
            connection.execute("DELETE FROM history WHERE watch_id = ?", (watch_id,))
        else:
            connection.execute("DELETE FROM watches WHERE watch_id = ?", (watch_id,))
    return len(old)
