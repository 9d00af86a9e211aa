"""What commands and web pages read from a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from bridge.domain.delivery_state import NOT_CHECKED, DeliveryState
from bridge.domain.filters import EVERY_DELIVERY, EVERY_WATCH, DeliveryFilter, Page, WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind
from bridge.domain.views import (
    Counts,
    DeliveryTotal,
    DeliveryView,
    FailingPolls,
    MemberView,
    QueueWait,
    Unchecked,
    WatchDetails,
    WatchView,
    merged,
    no_watch,
)
from bridge.store import records
from bridge.store.pages import Pages
from bridge.store.records import Record
from bridge.store.rows import plain, readable, unreadable_rows
from bridge.store.selection import Search, deliveries, watches
from bridge.store.sql_session import Finder, Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import find_watches, watch

if TYPE_CHECKING:
    from bridge.domain.account_state import AccountState
    from bridge.domain.durations.table import DurationKey, Table
    from bridge.domain.endpoint_health import Health
    from bridge.domain.pause import Pause
    from bridge.domain.source import SourceFacts
    from bridge.domain.watch import Watch

T = TypeVar("T")

_OF_KEY: Final = " WHERE task_id = :task_id AND account = :account"
_OF_WATCH: Final = " WHERE watch_id = :watch_id ORDER BY "
_PHASES: Final = frozenset(Phase)
MOST_UNREADABLE: Final = 1000  # maximum number of rows that are named
_OVER: Final = "ended_at IS NOT NULL AND {sqlite:is_tombstone = 0}{postgres:NOT is_tombstone}"  # has an index


class ReadStore(Pages):
    """Answers questions, with or without a running daemon, and writes nothing.

    Calls block, one at a time. Give each object its own `Offload`, so a long question does not delay a commit.
    """

    def list_watches(self, wanted: WatchFilter = EVERY_WATCH, *, limit: int | None = None) -> Page[WatchView]:
        """These watches, the last added first: at most `limit`."""
        return _page(self._database, records.WATCH_VIEWS, watches(wanted), "watch_id DESC", limit, number=-1)

    def last_finished(self, wanted: WatchFilter, *, limit: int) -> Page[WatchView]:
        """The matching watches that finished or were withdrawn, the last first: at most `limit`. `next_before` is
        set if there are more; it cannot be used as a cursor."""
        search = watches(wanted).narrowed(_OVER)
        return _page(self._database, records.WATCH_VIEWS, search, "ended_at DESC", limit, number=-1)

    def find(self, task_id: str, account: str | None = None) -> list[Watch]:
        """The watches of this id: one for each account that has it."""
        where = " WHERE task_id = :task_id ORDER BY account" if account is None else _OF_KEY
        named = {"task_id": plain(task_id), "account": account and plain(account)}
        found = self._database.find(SQL["watches.find_all"] + where, **named)
        return readable("watch", watch, [row[:-2] for row in found])

    def view(self, key: WatchKey) -> WatchView:
        """One watch as `list_watches` shows it; UnknownError if it does not exist."""
        for found in records.WATCH_VIEWS.find(self._database, _OF_KEY, **key._asdict()):
            return found
        raise no_watch(key)

    def details(self, key: WatchKey) -> WatchDetails:
        """Everything about one watch; UnknownError if it does not exist."""
        with self._database.read() as session:
            for *row, next_poll_why, watch_id in session.find(SQL["watches.find_all"] + _OF_KEY, **key._asdict()):
                deliveries = records.DELIVERY_VIEWS.find(session, _OF_WATCH + "delivery_id", watch_id=watch_id)
                return WatchDetails(
                    watch=watch(tuple(row)),
                    sources=tuple(source for (source,) in session.find(SQL["reads.sources"], watch_id=watch_id)),
                    history=tuple(records.FACTS.find(session, _OF_WATCH + "history_id", watch_id=watch_id)),
                    readings=tuple(records.READINGS.find(session, _OF_WATCH + "first_at, kind", watch_id=watch_id)),
                    deliveries=tuple(_with_attempts(session, deliveries)),
                    next_poll_why=next_poll_why,
                )
        raise no_watch(key)

    def count_due(self, account: str, now: float) -> int:
        """How many watches of the account should be polled now."""
        return int(self._database.find(SQL["reads.count_due"], account=account, now=now)[0][0])

    def list_deliveries(
        self,
        wanted: DeliveryFilter = EVERY_DELIVERY,
        *,
        before: int | None = None,
        limit: int | None = None,
        attempts: bool = False,
    ) -> Page[DeliveryView]:
        """These deliveries, the newest first: at most `limit`, of those before this `delivery_id`. With `attempts`,
        each has all its attempts."""
        search = deliveries(wanted, before)
        with self._database.read() as session:
            page = _page(session, records.DELIVERY_VIEWS, search, "delivery_id DESC", limit, number=0)
            if attempts:
                page[:] = _with_attempts(session, page)
            return page

    def delivery_totals(self, wanted: DeliveryFilter) -> list[DeliveryTotal]:
        """How many of these deliveries there are, by endpoint and topic. Reads each of them."""
        return [DeliveryTotal(*row) for row in deliveries(wanted).find(self._database, "reads.totals")]

    def delivery_body(self, delivery_id: int, *, most: int) -> tuple[bytes, int]:
        """The first bytes of what a delivery sends, and how many there are. Nothing when it is gone."""
        for body, size in self._database.find(SQL["reads.body"], delivery_id=delivery_id, most=most):
            return bytes(body or b""), size or 0
        return b"", 0

    def known(self, keys: Collection[WatchKey]) -> dict[WatchKey, tuple[int, Phase]]:
        """`watch_id` and phase of the given watches that exist."""
        with self._database.read() as session:
            return find_watches(session, keys, lock=False)

    def deliveries_of(self, key: WatchKey) -> list[DeliveryView]:
        """A watch's deliveries with their attempts, the oldest first."""
        return self.list_deliveries(DeliveryFilter(watch=key), attempts=True)[::-1]

    def counts(self, over: Mapping[Phase, int] | None = None) -> Counts:
        """The state of the store in figures. `over`: how many tasks are in the phases that are not live, if that is
        known already; then `by_account` has only the live ones. Counting the others reads every watch: 0.6 us of CPU
        time each."""
        with self._database.read() as session:
            found = session.find(SQL["reads.watch_counts" if over is None else "reads.live_counts"])
            phases = Counter(over or {})
            for _, phase, count in found:
                if phase in _PHASES:
                    phases[Phase(phase)] += count
            waiting = session.find(SQL["reads.waiting"])
            return Counts(
                watches=dict(phases),
                by_account={(account, phase): count for account, phase, count in found},
                waiting_by_endpoint={endpoint: count for endpoint, count, _ in waiting},
                dead_by_endpoint=dict(session.find(SQL["reads.dead"])),
                oldest_by_endpoint={endpoint: at for endpoint, _, at in waiting if isinstance(at, float)},
                blocked=dict(session.find(SQL["reads.blocked"])),
                disabled=dict(session.find(SQL["reads.disabled"])),
                unread=records.UNREAD.find(session, " ORDER BY last_at DESC, account, word"),
            )

    def unreadable(self) -> list[str]:
        """The rows that cannot be read and are ignored: `watch ACCOUNT/ID`, `delivery NUMBER/EVENT`, ..."""
        known = {"phases": list(Phase), "kinds": list(ReadingKind), "states": list(DeliveryState)}
        return unreadable_rows(self._database.find(SQL["reads.unreadable"], **known, most=MOST_UNREADABLE))

    def unchecked(self, *, since: float) -> list[Unchecked]:
        """The endpoints with answers that could not be checked since then."""
        found = self._database.find(SQL["reads.unchecked"], since=since, mark=NOT_CHECKED)
        return [Unchecked(*row[:3], row[3].partition(NOT_CHECKED)[2]) for row in merged(found)]

    def failing_polls(self, *, least: int) -> list[FailingPolls]:
        """The accounts with live tasks whose last polls, at least this many, gave no usable answer."""
        return [FailingPolls(*row) for row in merged(self._database.find(SQL["reads.failing_polls"], least=least))]

    def queue_waits(self) -> list[QueueWait]:
        """The queues that are or were held, by endpoint and target."""
        return records.QUEUE_WAITS.find(self._database, " ORDER BY endpoint, target")

    def failing_endpoints(self) -> list[Health]:
        """The endpoints that failed at the last attempt, by name."""
        return records.HEALTH.find(self._database, " WHERE failing_since IS NOT NULL ORDER BY endpoint")

    def accounts(self) -> Mapping[str, AccountState]:
        """What is known of each account."""
        with self._database.read() as session:
            return records.account_states(session)

    def pauses(self) -> list[Pause]:
        """The last pause of each account and endpoint, over or not."""
        return records.PAUSES.find(self._database, " ORDER BY what, name")

    def sources(self) -> list[SourceFacts]:
        """What the sources of all daemons have seen, by name."""
        return records.SOURCES.find(self._database, " ORDER BY daemon, source, path")

    def durations(self) -> Mapping[DurationKey, Table | None]:
        """How long each kind of task takes; None where that cannot be read."""
        from bridge.store.notes import durations  # here, because other queries do not need it

        return durations(self._database)

    def members(self) -> list[MemberView]:
        """The daemons that work on a shared store now, by age; of a store with a single daemon, none."""
        if not self.is_shared:
            return []
        return records.MEMBERS.find(self._database, " WHERE lease_until > clock_timestamp() ORDER BY fence")

    def key(self, purpose: str) -> bytes | None:
        """The store's random key for this purpose (`domain.store_key`); None until it is created."""
        found = self._database.find("SELECT key FROM keys WHERE purpose = :purpose", purpose=purpose)
        return bytes(found[0][0]) if found else None

    def revision(self) -> int:
        """A number that grows whenever a watch is changed by anything but a poll."""
        return revision(self._database)


def revision(session: Finder) -> int:
    """The revision as this transaction sees it."""
    number: int = session.find("SELECT revision FROM {sqlite:store}{postgres:genbridge_store}")[0][0]
    return number


def _page(session: Finder, record: Record[T], search: Search, order: str, limit: int | None, *, number: int) -> Page[T]:
    """At most `limit` rows, each with its number in this column. An unreadable row counts as one of them."""
    rest = f" WHERE {search.where} ORDER BY {order}"
    if limit is None:
        return Page(record.find(session, rest, **search.values))
    most = limit + 1  # shows whether there is more
    found = session.find(f"{record.select}{rest} LIMIT :most", **search.values, most=most)
    return Page(record.readable(found[:limit]), found[limit - 1][number] if len(found) > limit else None)


def _with_attempts(session: Session, found: Sequence[DeliveryView]) -> list[DeliveryView]:
    rest = "WHERE delivery_id IN (:delivery_ids[]) ORDER BY delivery_id, at"
    delivery_ids = [one.delivery_id for one in found]
    made = records.ATTEMPTS.by("delivery_id", session, rest, delivery_ids=delivery_ids) if found else {}
    return [one._replace(made=tuple(made.get(one.delivery_id, ()))) for one in found]
