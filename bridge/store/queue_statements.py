"""Lets deliveries go on: endpoints that are enabled, and queues that are no longer held."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bridge.store.sql_files import SQL
from bridge.store.statements import Session


def enable(session: Session, endpoints: Collection[str]) -> bool:
    """Deliver to these endpoints again; whether any of them was disabled."""
    return session.execute(SQL["commands.enable"], endpoints=sorted(endpoints)) > 0


def lift_holds(session: Session, endpoints: Iterable[str]) -> None:
    """End all holds on queues of these endpoints. Deliveries that waited for that are due at once."""
    named = sorted(endpoints)
    session.execute(SQL["commands.hasten_held"], endpoints=named)
    session.execute(SQL["commands.lift_holds"], endpoints=named)
