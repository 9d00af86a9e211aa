"""Retention: what keeps a store from growing for ever."""

from __future__ import annotations

from typing import Final

from bridge.store.postgres.link import Link
from bridge.store.postgres.part import Part, lock_store

OLD_DELIVERIES: Final = """
    SELECT delivery_id, event_id FROM deliveries
    WHERE state = %s AND state <> 'waiting' AND settled_at < %s LIMIT %s FOR UPDATE SKIP LOCKED
"""
_DELETE_DELIVERIES: Final = "DELETE FROM deliveries WHERE delivery_id = ANY(%s)"
_DELETE_ORPHANS: Final = """
    DELETE FROM events WHERE event_id = ANY(%s)
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.event_id)
"""
OLD_WATCHES: Final = """
    SELECT watch_id, EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND is_listed)
    FROM watches
    WHERE ended_at < %s AND NOT is_tombstone
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.watch_id = watches.watch_id)
    LIMIT %s FOR UPDATE SKIP LOCKED
"""
_CUT_DOWN: Final = """
    UPDATE watches SET is_tombstone = true, label = NULL, endpoints = NULL, meta = '{}', snapshot = NULL, urls = NULL,
        reason = NULL, next_poll_why = ''
    WHERE watch_id = ANY(%s)
"""
# Whoever has not written for a day has no commit in doubt any more.
_DELETE_WRITERS: Final = "DELETE FROM writers WHERE at < now() - interval '1 day'"


class RetentionPart(Part):
    """Deletes what has been kept long enough."""

    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        """Delete what was settled or ended longer ago than so many seconds; returns how many deliveries and watches
        went, at most `limit`. Zero means that nothing is left to prune.

        Watches go only after all their deliveries. One that a list still names is cut down to a tombstone, so that the
        list's next reading does not watch it anew; it goes when the list drops it.
        """
        with self._database.write() as link:
            lock_store(link)
            gone = 0
            for state, kept_s in (("accepted", delivered_s), ("canceled", delivered_s), ("dead", dead_s)):
                gone += _prune_deliveries(link, state, before=now - kept_s, limit=limit - gone)
            gone += _prune_watches(link, before=now - ended_s, limit=limit - gone)
            link.execute(_DELETE_WRITERS)
            return gone


def _prune_deliveries(link: Link, state: str, *, before: float, limit: int) -> int:
    old = link.execute(OLD_DELIVERIES, (state, before, limit)).fetchall()
    if old:
        link.execute(_DELETE_DELIVERIES, ([delivery_id for delivery_id, _ in old],))
        link.execute(_DELETE_ORPHANS, ([event_id for _, event_id in old],))
    return len(old)


def _prune_watches(link: Link, *, before: float, limit: int) -> int:
    old = link.execute(OLD_WATCHES, (before, limit)).fetchall()
    listed = [watch_id for watch_id, is_listed in old if is_listed]
    if listed:
        link.execute(_CUT_DOWN, (listed,))
        link.execute("DELETE FROM readings WHERE watch_id = ANY(%s)", (listed,))
        link.execute("DELETE FROM history WHERE watch_id = ANY(%s)", (listed,))
    link.execute("DELETE FROM watches WHERE watch_id = ANY(%s)", ([one for one, is_listed in old if not is_listed],))
    return len(old)
