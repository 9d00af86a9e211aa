"""The complete store of the daemon and the commands, and the copy of its contents into another store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bridge.domain.slots import SoleMember, slot_of
from bridge.errors import StoreError, UsageError
from bridge.store.command_store import CommandStore
from bridge.store.commits import CommitStore
from bridge.store.notes import NoteStore
from bridge.store.outbox import OutboxStore
from bridge.store.read_store import revision
from bridge.store.retention import Retention
from bridge.store.rows import Row, json_text, plain
from bridge.store.sql_session import WORK
from bridge.store.statements import SQL, TABLES

if TYPE_CHECKING:
    from bridge.store.lock import DaemonLock


class Contents(NamedTuple):
    """A store at one instant. It does not change during the copy."""

    revision: int
    rows: Callable[[str], Iterator[Row]]
    """Every row of a table with the columns of `TABLES`, sorted by the first three. They contain the primary key, so
    the order is the same on both engines."""


class Store(SoleMember, CommandStore, CommitStore, OutboxStore, NoteStore, Retention):
    """All operations that the engine and the commands need. Calls block, one at a time (`Offload`); only `is_syncing`
    and `give_up` may be called meanwhile. Every method is one transaction: on disk when it returns, not done at all
    when it raises.

    On SQLite the only daemon holds the lock on the file, which is its lease, so it gets all shares.
    """

    machine_lock: DaemonLock | None = None  # of a shared store: shows that the last daemon with these settings ended

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """The store's contents at one instant. Other processes cannot write to the store until the end of the block."""
        with self._database.alone() as session, session.without_timeout():
            session.lock_store()
            yield Contents(revision(session), lambda table: session.stream(_select(table)))

    def fill(self, contents: Contents) -> Mapping[str, int]:
        """Copy another store into this one, in one transaction; returns the number of rows of each table. UsageError
        when this one is not empty, StoreError when rows are missing at the end."""
        with self._database.write() as session, session.without_timeout():
            session.lock_store()
            if any(session.find(f"SELECT 1 FROM {table} LIMIT 1") for table in TABLES):  # noqa: S608 - names of ours
                raise UsageError(f"store {self._database.place} is not empty; name another one")
            slots: dict[str, int] = {}  # of events
            counts = {table: session.load(table, _moved(table, contents.rows(table), slots)) for table in TABLES}
            for table, given in counts.items():
                [(there,)] = session.find(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of ours
                if given != there:
                    raise StoreError(f"table {table}: only {there} of {given} rows arrived; nothing was written")
            session.execute("UPDATE {sqlite:store}{postgres:genbridge_store} SET revision = :to", to=contents.revision)
            if self.is_shared:
                session.find(SQL["server.count_on"])
                session.execute(f"ANALYZE {', '.join(TABLES)}")
            session.wake(WORK)
        return counts


def _select(table: str) -> str:
    columns = list(TABLES[table])
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns[:3])}"  # noqa: S608 - names of ours


def _moved(table: str, found: Iterator[Row], slots: dict[str, int]) -> Iterator[Row]:
    """The rows with values that both engines accept, followed by the columns that only PostgreSQL has. `slots` are
    those of the events, which are moved before their deliveries."""
    for values in found:
        texts = (plain(value) if isinstance(value, str) else value for value in values)
        row = dict(zip(TABLES[table], texts, strict=True))
        own: Row = ()
        if table == "watches":
            urls = None if row["snapshot"] is None else json_text(json.loads(row["snapshot"])["urls"])
            own = slot_of(row["task_id"]), urls
        elif table == "events":
            slots[row["event_id"]] = slot_of(row["subject"] or row["account"])
        elif table == "deliveries":
            own = (slots[row["event_id"]],)
        yield (*row.values(), *own)
