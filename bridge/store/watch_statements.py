"""Statements about watches that more than one file needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.store.rows import Row
from bridge.store.sql_session import Session
from bridge.store.statements import SQL

CALLBACK: Final = "callback"  # a fact: one came, and the task was polled because of it
MOST_CALLBACKS: Final = 20  # kept of a watch, the latest


def find_watches(session: Session, keys: Collection[WatchKey], *, lock: bool) -> dict[WatchKey, tuple[int, Phase]]:
    """watch_id and phase of the watches that exist. With `lock`, no other transaction changes them."""
    found = session.run(SQL["watches.find_locked" if lock else "watches.find"], keys)
    return {WatchKey(account, task_id): (watch_id, Phase(phase)) for account, task_id, watch_id, phase in found}


def add_facts(session: Session, facts: Sequence[Row]) -> None:
    """Add facts to the histories of watches: watch_id, at, what, detail. Of callbacks only the latest stay."""
    session.run(SQL["watches.add_facts"], facts)
    called = sorted({watch_id for watch_id, _, what, _ in facts if what == CALLBACK})
    if called:
        session.execute(SQL["watches.trim_callbacks"], watch_ids=called, what=CALLBACK, most=MOST_CALLBACKS)


def withdraw(session: Session, watch_ids: Sequence[int], *, revision: int, by: str, now: float) -> None:
    """Stop watching. `by`: the source that no longer names them, or a person's command."""
    session.execute(SQL["watches.withdraw"], revision=revision, now=now, watch_ids=list(watch_ids))
    add_facts(session, [(watch_id, now, Phase.WITHDRAWN, by) for watch_id in watch_ids])
