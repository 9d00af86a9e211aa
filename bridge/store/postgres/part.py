"""What the slices of one store share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from bridge.domain.ids import WatchKey
from bridge.domain.shares import Share
from bridge.domain.task import Phase
from bridge.errors import LeaseLost
from bridge.store.postgres.database import CHANNEL, NOTIFY, Database, one
from bridge.store.postgres.link import Link
from bridge.store.rows import Row

_FIND: Final = """
    SELECT watches.account, watches.task_id, watch_id, phase
    FROM watches JOIN unnest(%s::text[], %s::text[]) AS wanted (account, task_id)
        ON watches.task_id = wanted.task_id AND watches.account = wanted.account
"""
# Always in this order, so that two writers never wait for one another; and never so that a row that refers to one of
# them (NO KEY) has to wait.
_IN_ORDER: Final = "ORDER BY watch_id FOR NO KEY UPDATE OF watches"
_ADD_FACTS: Final = """
    INSERT INTO history (watch_id, at, what, detail)
    SELECT * FROM unnest(%s::bigint[], %s::float8[], %s::text[], %s::text[])
"""
_COUNT_READINGS: Final = """
    INSERT INTO readings AS known (watch_id, kind, count, first_at, last_at, last_detail)
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::float8[], %s::float8[], %s::text[])
    ON CONFLICT (watch_id, kind) DO UPDATE SET count = known.count + excluded.count, last_at = excluded.last_at,
        last_detail = excluded.last_detail
"""
ENABLE: Final = """
    UPDATE endpoints SET disabled_at = NULL WHERE endpoint = ANY(%s) AND disabled_at IS NOT NULL
"""
_WITHDRAW: Final = """
    UPDATE watches SET phase = 'withdrawn', revision = %s, ended_at = %s, next_poll_at = NULL, poll_asked_at = NULL
    WHERE watch_id = ANY(%s)
"""

# Should the line go dead while we hold this lock, the server must not keep it for us longer than others wait for us.
_GUARD: Final = """
    SELECT set_config('idle_in_transaction_session_timeout', %s, true)
    FROM members WHERE fence = %s AND lease_until > clock_timestamp()
"""
_TOGETHER: Final = _GUARD + "FOR KEY SHARE"
_ALONE: Final = _GUARD + "FOR UPDATE"
_BRIEFLY: Final = "SET LOCAL lock_timeout = '0.5s'"  # renewals of the lease wait meanwhile

MUTE: Final = 0.25  # of a lease: so long a transaction that says nothing may go on

WORK, OUTBOX, ENDS = "work", "outbox", "ends"  # what daemons are told of beside MEMBERS, see `ports.News`

_LOCK_STORE: Final = "SELECT revision FROM genbridge_store FOR UPDATE"
_TOUCH: Final = "UPDATE genbridge_store SET touched = touched + 1"
_NEXT_REVISION: Final = "UPDATE genbridge_store SET revision = revision + 1, touched = touched + 1 RETURNING revision"


class Part:
    """One slice of a store: a few methods over the database all slices share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fingerprints: Mapping[str, str] = {}  # of the endpoints' settings, as last told to `disabled`
        self._fence: int | None = None  # our membership's number; None: we have not joined, and work on everything
        self._lease_s = 0.0  # how long our lease lasts each time
        self._held: frozenset[Share] | None = None  # what we hold of the work for certain; None: as above

    def _guard(self, link: Link, *, alone: bool = False) -> None:
        """LeaseLost unless our lease lasts; it cannot be taken over then before this transaction is over. With `alone`
        no other guarded transaction of ours is under way at the same time."""
        if self._fence is None:
            return
        if alone:
            link.execute(_BRIEFLY)
        idle_ms = str(int(self._lease_s * MUTE * 1000))
        if link.execute(_ALONE if alone else _TOGETHER, (idle_ms, self._fence)).fetchone() is None:
            raise LeaseLost("this daemon's lease on the store has ended")

    def _wake(self, link: Link, what: str = WORK) -> None:
        """Have everybody else hear of it once this transaction is committed."""
        link.execute(NOTIFY, (CHANNEL, f"{self._database.writer} {what}"))

    def _touch(self, link: Link) -> None:
        """The same for what changes no watch."""
        link.execute(_TOUCH)
        self._wake(link)

    def _next_revision(self, link: Link) -> int:
        """The revision of what this transaction touches, once `lock_store` has been called."""
        self._wake(link)
        number: int = one(link.execute(_NEXT_REVISION))[0]
        return number


def lock_store(link: Link) -> None:
    """Wait for everybody else who touches watches, and keep them waiting until this transaction is over. So revisions
    become visible in their order, and whoever has seen one has missed none before it."""
    link.execute(_LOCK_STORE)


def revision(link: Link) -> int:
    number: int = one(link.execute("SELECT revision FROM genbridge_store"))[0]
    return number


def found(link: Link, keys: Collection[WatchKey], *, lock: bool) -> dict[WatchKey, tuple[int, Phase]]:
    """watch_id and phase of those of these watches that there are. With `lock` they stay as they are meanwhile."""
    if not keys:
        return {}
    rows = link.execute(_FIND + _IN_ORDER if lock else _FIND, columns("tt", keys))
    return {WatchKey(account, task_id): (watch_id, Phase(phase)) for account, task_id, watch_id, phase in rows}


def add_facts(link: Link, rows: Collection[Row]) -> None:
    """Rows of watch_id, at, what, detail."""
    if rows:
        link.execute(_ADD_FACTS, columns("iftt", rows))


def withdraw(link: Link, watch_ids: Sequence[int], *, revision: int, by: str, now: float) -> None:
    """Stop watching. `by`: the source that names them no longer, or a person's command."""
    link.execute(_WITHDRAW, (revision, now, list(watch_ids)))
    add_facts(link, [(watch_id, now, Phase.WITHDRAWN, by) for watch_id in watch_ids])


def count_readings(link: Link, rows: Collection[Row]) -> None:
    """Add `ReadingCounts.rows` to those counted so far."""
    if rows:
        link.execute(_COUNT_READINGS, columns("itifft", rows))


_AS_TYPE: Final[Mapping[str, Callable[..., object]]] = {"i": int, "f": float, "t": str, "b": bool, "y": bytes}


def columns(types: str, rows: Iterable[Row]) -> list[list[object]]:
    """Rows as one array for each column, as `unnest` takes them: i(nteger), f(loat), t(ext), b(oolean), (b)y(tes).

    Every value is made one of its column's type, since an array has one type only.
    """
    made: list[list[object]] = [[] for _ in types]
    for place, column in enumerate(zip(*rows, strict=True)):
        as_type = _AS_TYPE[types[place]]
        made[place] = [None if value is None else as_type(value) for value in column]
    return made
