"""What those who follow a store read: the log of events, which rows have changed, and which tasks have finished."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bridge.domain.committed import ChangedRows, ChangeMarks
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE
from bridge.store import records
from bridge.store.event_log import EventLog
from bridge.store.sql_session import Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import find_watches

_SETTLED_STATES: Final = [str(state) for state in DeliveryState if state is not DeliveryState.WAITING]


class FollowStore(EventLog):
    """For one follower."""

    def finished(self, keys: Collection[WatchKey]) -> frozenset[WatchKey]:
        """Which of these tasks are no longer watched: finished, withdrawn, or unknown."""
        with self._database.read() as session:
            found = find_watches(session, keys, lock=False)
        return frozenset(keys) - {key for key, (_, phase) in found.items() if phase in LIVE}

    def marks(self) -> ChangeMarks:
        """Where the changes are now."""
        with self._database.read() as session:
            return _marks(session)

    def changed_rows(
        self, since: ChangeMarks, *, keys: Collection[WatchKey], delivery_ids: Collection[int], most: int
    ) -> ChangedRows:
        """The rows of these keys and ids, then what has changed since these marks; at most `most` of each."""
        with self._database.read() as session:
            marks = _marks(session)
            known = {watch_id for watch_id, _ in find_watches(session, keys, lock=False).values()}
            touched = _ids(session, "log.touched", most, revision=since.revision)
            touched |= _ids(session, "log.facts", most, fact=since.fact)
            made = _ids(session, "log.created", most, delivery=since.delivery)
            for state in _SETTLED_STATES:
                made |= _ids(session, "log.settled", most, state=state, since=since.settled_at)
            watch_ids, watches_cut = _first(known, touched, most)
            changed_ids, deliveries_cut = _first(set(delivery_ids), made, most)
            return ChangedRows(
                marks=marks,
                watches=list(records.WATCH_VIEWS.of(watch_ids, session, "watch_id").values()),
                deliveries=list(records.DELIVERY_VIEWS.of(changed_ids, session, "delivery_id").values()),
                is_cut=watches_cut or deliveries_cut,
            )


def _marks(session: Session) -> ChangeMarks:
    settled = [session.find(SQL["log.settled_last"], state=state)[0][0] for state in _SETTLED_STATES]
    revision, fact, delivery = session.find(SQL["log.marks"])[0]
    return ChangeMarks(revision=revision, fact=fact, delivery=delivery, settled_at=max(settled))


def _ids(session: Session, name: str, most: int, **values: object) -> set[int]:
    return {row_id for (row_id,) in session.find(SQL[name], **values, most=most + 1)}


def _first(known: set[int], others: set[int], most: int) -> tuple[list[int], bool]:
    """Those that are known, then the newest of the others; and whether any are left out."""
    rest = sorted(others - known, reverse=True)
    room = max(0, most - len(known))
    return [*known, *rest[:room]], len(rest) > room
