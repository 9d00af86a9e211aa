"""How each value is stored: one description gives its SELECT, its reader and its writer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from bridge.domain.account_state import AccountState, RouteWait, whole_states
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.endpoint_health import Health
from bridge.domain.pause import Pause, PauseOf
from bridge.domain.source import SourceFacts
from bridge.domain.task import Phase, ReadingKind
from bridge.domain.views import (
    AttemptView,
    DeliveryView,
    Fact,
    MemberView,
    QueueWait,
    ReadingCount,
    UnreadView,
    WatchView,
)
from bridge.store.rows import Row, plain, readable, stored_json
from bridge.store.statements import SQL

if TYPE_CHECKING:
    from bridge.store.sql_session import Finder

T = TypeVar("T")


def _number(value: Any) -> Any:
    """TypeError for text and bytes, which SQLite keeps in any column."""
    return None if value is None else value + 0


# By annotation. A look-up in a dict is several times faster than `Phase(text)`.
_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    **{kind: _number for base in ("int", "float") for kind in (base, f"{base} | None")},
    "str": lambda text: text + "",
    "str | None": lambda text: None if text is None else text + "",
    "bool": bool,
    **{
        words.__name__: {str(word): word for word in words}.__getitem__
        for words in (Phase, ReadingKind, DeliveryState, PauseOf)
    },
}


class Record(Generic[T]):
    """The rows of one class of values.

    A field of the class is a column of the same name, unless `columns` has another name or an expression for it.
    `without` names the fields that are not stored. Values are checked, except where speed matters more. `build` makes a
    value from its fields, for classes that cannot be called with them.
    """

    def __init__(
        self,
        what: str,
        make: type[T],
        table: str,
        *,
        without: tuple[str, ...] = (),
        is_checked: bool = True,
        build: Callable[..., T] | None = None,
        **columns: str,
    ) -> None:
        self._what = what  # the name of an unreadable row in the log
        self._build = build or make
        self._fields = [field for field in make.__annotations__ if field not in without]
        written = {field: make.__annotations__[field] for field in self._fields}
        kinds = {field: getattr(one, "__forward_arg__", one) for field, one in written.items()}  # NamedTuple wraps it
        self._checks = {field: _CHECKS[kind] for field, kind in kinds.items() if is_checked and kind in _CHECKS}
        self.columns = tuple(columns.get(field, field) for field in self._fields)
        self.table = table
        self.select = f"SELECT {', '.join(self.columns)} FROM {table}"  # noqa: S608 - names of ours

    def read(self, row: Row) -> T:
        """The value of one row. Raises an error where a column is of another type."""
        fields = dict(zip(self._fields, row, strict=True))
        for field, check in self._checks.items():
            fields[field] = check(fields[field])
        return self._build(**fields)

    def readable(self, rows: Iterable[Row]) -> list[T]:
        return readable(self._what, self.read, rows)

    def find(self, session: Finder, rest: str = "", **values: object) -> list[T]:
        """The values that can be read; `rest` is what follows the SELECT."""
        return self.readable(session.find(self.select + rest, **values))

    def by(self, column: str, session: Finder, rest: str, **values: object) -> dict[Any, list[T]]:
        """The same as `find`, grouped by another column."""
        sql = f"SELECT {', '.join((column, *self.columns))} FROM {self.table} {rest}"  # noqa: S608 - names of ours
        found: dict[Any, list[T]] = {}
        for key, value in readable(self._what, lambda row: (row[0], self.read(row[1:])), session.find(sql, **values)):
            found.setdefault(key, []).append(value)
        return found

    def of(self, ids: Collection[int], session: Finder, column: str) -> list[T]:
        """The values of the rows whose column has one of these numbers, in the order of the numbers."""
        rest = f" WHERE {column} IN (:ids[])"
        found = {getattr(value, column): value for value in self.find(session, rest, ids=list(ids))} if ids else {}
        return [found[one] for one in ids if one in found]

    def row(self, value: T) -> Row:
        found = [getattr(value, field) for field in self._fields]
        return tuple(plain(one) if isinstance(one, str) else one for one in found)


def _watch_view(*, meta: str, urls: str | None, **fields: Any) -> WatchView:
    """JSON that cannot be read is left out."""
    key = f"{fields['account']}/{fields['task_id']}"
    links = () if urls is None else tuple(stored_json("urls", key, urls, list) or ())
    return WatchView(**fields, meta=stored_json("meta", key, meta, dict) or {}, urls=links)


ATTEMPTS: Final = Record("attempt", AttemptView, "attempts")
DELIVERY_VIEWS: Final = Record(
    "delivery",
    DeliveryView,
    "deliveries JOIN events USING (event_id)",
    without=("made",),
    task_id="subject",
    next_attempt_at=SQL["reads.due_at"],
)
FACTS: Final = Record("history", Fact, "history")
HEALTH: Final = Record("health", Health, "health")
MEMBERS: Final = Record(
    "member",
    MemberView,
    "members",
    member=SQL["members.id"],
    joined_at="extract(epoch FROM joined_at)::float8",
    lease_until="extract(epoch FROM lease_until)::float8",
    shares="(SELECT count(*) FROM shares WHERE shares.fence = members.fence)",
)
PAUSES: Final = Record("pause", Pause, "pauses", of="what")
QUEUE_WAITS: Final = Record("queue", QueueWait, "queues", until_at="held_until")
READINGS: Final = Record("reading", ReadingCount, "readings", times="count")
SOURCES: Final = Record("source", SourceFacts, "sources")
UNREAD: Final = Record("unread answer", UnreadView, "unread_answers")
WATCH_VIEWS: Final = Record(
    "watch",
    WatchView,
    "watches",
    build=_watch_view,
    next_poll_at="coalesce(poll_asked_at, next_poll_at)",
    urls="{sqlite:CASE WHEN json_valid(snapshot) THEN json_extract(snapshot, '$.urls') END}{postgres:urls}",
)
_ACCOUNTS: Final = Record(
    "account", AccountState, "accounts", without=("route_waits", "pause"), wait_until_at="paused_until"
)
_ROUTE_WAITS: Final = Record("hold", RouteWait, "holds", until_at="held_until")


def account_states(session: Finder) -> dict[str, AccountState]:
    waits = _ROUTE_WAITS.by("account", session, "ORDER BY account, route")
    return whole_states(_ACCOUNTS.find(session), waits, PAUSES.find(session, " WHERE what = 'account'"))
