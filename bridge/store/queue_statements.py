"""Lets deliveries go on: endpoints that are enabled, and queues that are no longer held."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from bridge.store.statements import Session

_HASTEN_HELD: Final = """
    UPDATE deliveries SET next_attempt_at = 0 WHERE delivery_id IN (
        SELECT delivery_id FROM queues JOIN deliveries USING (endpoint, target)
        WHERE queues.endpoint IN (:endpoints[]) AND state = 'waiting' AND next_attempt_at <= held_until
        {postgres:ORDER BY delivery_id FOR NO KEY UPDATE OF deliveries})
"""
_LIFT: Final = "DELETE FROM queues WHERE endpoint IN (:endpoints[])"
_ENABLE: Final = """
    UPDATE endpoints SET disabled_at = NULL WHERE endpoint IN (:endpoints[]) AND disabled_at IS NOT NULL
"""


def enable(session: Session, endpoints: Collection[str]) -> bool:
    """Deliver to these endpoints again; whether any of them was disabled."""
    return session.execute(_ENABLE, endpoints=sorted(endpoints)) > 0


def lift_holds(session: Session, endpoints: Iterable[str]) -> None:
    """End all holds on queues of these endpoints. Deliveries that waited for that are due at once."""
    named = sorted(endpoints)
    session.execute(_HASTEN_HELD, endpoints=named)
    session.execute(_LIFT, endpoints=named)
