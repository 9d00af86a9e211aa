"""For readers that follow a store: the log of events, and which rows have changed.

The log has every event in the order in which it was committed, until retention deletes it.

On SQLite transactions run one after the other, so numbers appear in order. On PostgreSQL a lower number may appear
after a higher one; `domain.event_order` says how far a reader may go. A transaction locks the table before it takes its
first number, and until its commit is visible to all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from bridge.domain.committed import ChangedRows, ChangeMarks, LoggedEvent, LogPage, newest_changes
from bridge.domain.delivery import within
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event_order import EventOrder
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE
from bridge.store import records
from bridge.store.read_store import ReadStore
from bridge.store.sql_session import Session, Transactions
from bridge.store.statements import SQL
from bridge.store.watch_rows import find_watches

READ_AT_ONCE: Final = 256  # events
READ_BYTES: Final = 4 << 20
_SETTLED_STATES: Final = [str(state) for state in DeliveryState if state is not DeliveryState.WAITING]
TAIL_WITHIN: Final = 2_000  # more numbers than any transaction takes


class FollowStore(ReadStore):
    """Reads the log of events, and which rows have changed. Each follower needs its own, which remembers the gaps that
    it has waited for."""

    def __init__(self, database: Transactions) -> None:
        super().__init__(database)
        self._order = EventOrder()

    def read_events(self, after: int) -> LogPage:
        """A page of the events after this position. It stops before a number that an open transaction may still
        commit."""
        if self._order.is_waiting:
            with self._database.read() as session:
                self._order.settle(_column(session, "log.writers"))
        page = self._read_events(after)
        # If the gap can be passed, an event that has filled it in the meantime is only in a later snapshot.
        return page if not page.is_held or self._order.is_waiting else self._read_events(after)

    def read_again(self, after: int, *, upto: int) -> LogPage:
        """A page of the events after one position and up to another, which `read_events` has passed."""
        with self._database.read() as session:
            return _page(session, after, upto)

    def newest_event(self) -> int:
        """The current end of the log: later commits come after this position."""
        with self._database.read() as session:
            forgotten, newest = session.find(SQL["log.bounds"])[0]
            if not _column(session, "log.writers"):
                return int(newest)
            after = max(forgotten, newest - TAIL_WITHIN)
            return EventOrder().passable(after, _column(session, "log.numbers", after=after, limit=TAIL_WITHIN))

    def _read_events(self, after: int) -> LogPage:
        with self._database.read() as session:
            numbers = _column(session, "log.numbers", after=after, limit=READ_AT_ONCE) if self.is_shared else []
            if not numbers:
                return _page(session, after, None)
            upto = self._order.passable(after, numbers)
            page = _page(session, after, upto)
            if page.is_gone or upto == numbers[-1]:
                return page
            self._order.doubt(page.newest, _column(session, "log.writers"))
            return replace(page, is_held=True)

    def finished(self, keys: Collection[WatchKey]) -> frozenset[WatchKey]:
        """Which of these tasks are no longer watched: finished, withdrawn, or unknown."""
        return frozenset(keys) - {key for key, (_, phase) in self.known(keys).items() if phase in LIVE}

    def marks(self) -> ChangeMarks:
        return ChangeMarks(*self._database.find(SQL["log.marks"])[0])

    def changed_rows(
        self, since: ChangeMarks, *, keys: Collection[WatchKey], delivery_ids: Collection[int], most: int
    ) -> ChangedRows:
        """The rows of these keys and ids, then what has changed since these marks; at most `most` of each."""
        with self._database.read() as session:
            marks = ChangeMarks(*session.find(SQL["log.marks"])[0])
            known = {watch_id for watch_id, _ in find_watches(session, keys, lock=False).values()}
            touched = set(_column(session, "log.touched", revision=since.revision, most=most + 1))
            touched.update(_column(session, "log.facts", fact=since.fact, most=most + 1))
            made = set(_column(session, "log.created", delivery=since.delivery, most=most + 1))
            for state in _SETTLED_STATES:
                made.update(_column(session, "log.settled", state=state, since=since.settled_at, most=most + 1))
            watch_ids, watches_cut = newest_changes(known, touched, most)
            changed_ids, deliveries_cut = newest_changes(set(delivery_ids), made, most)
            return ChangedRows(
                marks=marks,
                watches=records.WATCH_VIEWS.of(watch_ids, session, "watch_id"),
                deliveries=records.DELIVERY_VIEWS.of(changed_ids, session, "delivery_id"),
                is_cut=watches_cut or deliveries_cut,
            )


def _page(session: Session, after: int, upto: int | None) -> LogPage:
    """The events after one position, up to the end of the log or to `upto`."""
    oldest, newest = session.find(SQL["log.bounds"])[0]
    if not oldest <= after <= newest:
        return LogPage(events=(), position=newest, oldest=oldest, newest=newest, is_gone=True)
    upto = newest if upto is None else upto
    asked = {"after": after, "upto": upto}
    sizes = session.find(SQL["log.sizes"], **asked, limit=READ_AT_ONCE) if upto > after else []
    if not sizes:
        return LogPage(events=(), position=upto, oldest=oldest, newest=newest)
    fitting = within(sizes, READ_BYTES)
    found = session.find(SQL["log.logged"], **asked, limit=len(fitting))
    events = [LoggedEvent(*row) for row in found]
    is_whole = len(fitting) == len(sizes) < READ_AT_ONCE
    position = upto if is_whole else events[-1].number
    return LogPage(events=events, position=position, oldest=oldest, newest=newest)


def _column(session: Session, name: str, **values: object) -> list[Any]:
    """What this statement finds, in one column."""
    return [one for (one,) in session.find(SQL[name], **values)]
