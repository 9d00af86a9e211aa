"""Retention: deletes old data, so a store does not grow without limit."""

from __future__ import annotations

from bridge.store.read_store import ReadStore
from bridge.store.sql_session import Session
from bridge.store.statements import SQL


class Retention(ReadStore):
    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        """Delete what was settled or finished longer ago than these seconds; returns how many deliveries and watches
        are gone, at most `limit`. Zero means that nothing is left to prune.

        Events are deleted from the log after the same time as accepted deliveries. Deleted events count in the result
        only if no delivery or watch was deleted and more old events are left.

        A watch is deleted only after all its deliveries. If a list still names it, only its id is kept, so that the
        next reading of the list does not watch it again. The id is deleted when the list no longer names it.
        """
        with self._locked() as session:
            forgotten = _forget_events(session, before=now - delivered_s, limit=limit)
            gone = 0
            for state, kept_s in (("accepted", delivered_s), ("canceled", delivered_s), ("dead", dead_s)):
                gone += _prune_deliveries(session, state, before=now - kept_s, limit=limit - gone)
            gone += _prune_watches(session, before=now - ended_s, limit=limit - gone)
            session.execute("DELETE FROM queues WHERE held_until < :now", now=now)
            session.execute("DELETE FROM holds WHERE held_until < :now", now=now)
            session.execute("DELETE FROM unread_answers WHERE last_at < :before", before=now - ended_s)
        self._database.give_back()
        return gone or (forgotten if forgotten == limit else 0)


def _prune_deliveries(session: Session, state: str, *, before: float, limit: int) -> int:
    old = session.find(SQL["retention.old_deliveries"], state=state, before=before, limit=limit)
    if old:
        delivery_ids = [delivery_id for delivery_id, _ in old]
        session.execute(SQL["log.take_bodies"], delivery_ids=delivery_ids)
        session.execute(SQL["retention.delete_deliveries"], delivery_ids=delivery_ids)
        session.execute(SQL["retention.delete_orphans"], event_ids=[event_id for _, event_id in old])
    return len(old)


def _prune_watches(session: Session, *, before: float, limit: int) -> int:
    old = session.find(SQL["retention.old_watches"], before=before, limit=limit)
    if old:
        watch_ids = [watch_id for (watch_id,) in old]
        steps = "retention.delete_watches", "retention.cut_down", "watches.forget_readings", "retention.forget_history"
        for step in steps:
            session.execute(SQL[step], watch_ids=watch_ids)
    return len(old)


def _forget_events(session: Session, *, before: float, limit: int) -> int:
    """Take up to `limit` events from the front of the log that occurred before this instant, and delete those that no
    delivery needs. Returns how many. The newest event stays, so that no number is used twice."""
    forgotten, newest = session.find(SQL["log.bounds"])[0]
    oldest = session.find(SQL["log.oldest"], after=forgotten, upto=newest, limit=limit)
    last = max((number for number, _, occurred_at in oldest if occurred_at < before), default=0)
    gone = [event_id for number, event_id, _ in oldest if number <= last]
    if gone:
        session.execute(SQL["log.delete_events"], event_ids=gone)
        session.execute(SQL["log.forget_events"], event_ids=gone)
        session.execute(SQL["log.forget_bodies"], number=last)
        session.execute(SQL["log.note_forgotten"], number=last)
    return len(gone)
