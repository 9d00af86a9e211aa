"""Statements about watches that more than one file needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.store.rows import Row
from bridge.store.statements import Batch, Session, insert

_FIND: Final = "FROM {new} JOIN watches USING (account, task_id) "
FIND: Final = Batch("account text, task_id text", _FIND, answer=("account", "task_id", "watch_id", "phase"))
_FIND_LOCKED: Final = Batch(FIND.new, _FIND + "{postgres:ORDER BY watch_id FOR NO KEY UPDATE OF watches}", FIND.answer)

POLL_NOW: Final = "UPDATE watches SET poll_asked_at = :now, revision = :revision WHERE watch_id IN (:watch_ids[])"
ADD_FACTS: Final = insert("history", "watch_id, at, what, detail", "")
COUNT_READINGS: Final = insert(
    "readings",
    rest="""
    ON CONFLICT (watch_id, kind) DO UPDATE SET count = readings.count + excluded.count, last_at = excluded.last_at,
        last_detail = excluded.last_detail
    """,
)
CALLBACK: Final = "callback"  # a fact: one came, and the task was polled because of it
MOST_CALLBACKS: Final = 20  # kept of a watch, the latest
_TRIM_CALLBACKS: Final = """
    DELETE FROM history WHERE watch_id IN (:watch_ids[]) AND what = :what AND history_id NOT IN (
        SELECT history_id FROM history AS kept WHERE kept.watch_id = history.watch_id AND kept.what = :what
        ORDER BY history_id DESC LIMIT :most)
"""
_WITHDRAW: Final = """
    UPDATE watches SET phase = 'withdrawn', revision = :revision, ended_at = :now, next_poll_at = NULL,
        poll_asked_at = NULL
    WHERE watch_id IN (:watch_ids[])
"""


def find_watches(session: Session, keys: Collection[WatchKey], *, lock: bool) -> dict[WatchKey, tuple[int, Phase]]:
    """watch_id and phase of those of these watches that exist. With `lock` nobody changes them meanwhile."""
    found = session.run(_FIND_LOCKED if lock else FIND, keys)
    return {WatchKey(account, task_id): (watch_id, Phase(phase)) for account, task_id, watch_id, phase in found}


def add_facts(session: Session, facts: Sequence[Row]) -> None:
    """Add facts to the histories of watches: watch_id, at, what, detail. Of callbacks only the latest stay."""
    session.run(ADD_FACTS, facts)
    called = sorted({watch_id for watch_id, _, what, _ in facts if what == CALLBACK})
    if called:
        session.execute(_TRIM_CALLBACKS, watch_ids=called, what=CALLBACK, most=MOST_CALLBACKS)


def withdraw(session: Session, watch_ids: Sequence[int], *, revision: int, by: str, now: float) -> None:
    """Stop watching. `by`: the source that no longer names them, or a person's command."""
    session.execute(_WITHDRAW, revision=revision, now=now, watch_ids=list(watch_ids))
    session.run(ADD_FACTS, [(watch_id, now, Phase.WITHDRAWN, by) for watch_id in watch_ids])
