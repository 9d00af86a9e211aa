"""The complete store, as the daemon and the commands hold it, and how its contents move into another one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from bridge.domain.slots import slot_of
from bridge.errors import StoreError, UsageError
from bridge.ports import Shares
from bridge.store.command_store import CommandStore
from bridge.store.outbox import OutboxStore
from bridge.store.read_store import revision
from bridge.store.record_store import RecordStore
from bridge.store.retention import Retention
from bridge.store.rows import Row, json_text, plain
from bridge.store.sql_session import WORK, Session, Transactions
from bridge.store.statements import TABLES
from bridge.store.transaction import CommitStore

# The ids that PostgreSQL counts.
_COUNTERS: Final = {"watches": "watch_id", "history": "history_id", "events": "number", "deliveries": "delivery_id"}


class Contents(Protocol):
    """A store at one instant. It does not change during the copy."""

    @property
    def revision(self) -> int: ...

    def rows(self, table: str) -> Iterator[Row]:
        """Every row with the columns of `TABLES`, in the order of the first three, within which each primary key lies:
        so both engines have one order."""


@dataclass(frozen=True, slots=True)
class _Contents:
    """Those of a session."""

    session: Session
    revision: int

    def rows(self, table: str) -> Iterator[Row]:
        columns = list(TABLES[table])
        order = ", ".join(columns[:3])
        return self.session.stream(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")  # noqa: S608 - names of ours


class Store(CommandStore, CommitStore, OutboxStore, RecordStore, Retention, Shares):
    """Everything that the engine and the commands ask of a store."""

    def __init__(self, database: Transactions) -> None:
        super().__init__(database)
        self.look_every_s, self.ahead_s = database.look_every_s, database.ahead_s
        self.is_syncing, self.give_up = database.is_syncing, database.give_up

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """The store's contents at one instant. Other processes cannot write to it until the end of the block."""
        with self._database.alone() as session, session.unhurried():
            session.lock_store()
            yield _Contents(session, revision(session))

    def fill(self, contents: Contents) -> Mapping[str, int]:
        """Copy another store into this one, in one transaction; returns the number of rows of each table. UsageError
        when this one is not empty, StoreError when rows are missing at the end."""
        with self._database.write() as session, session.unhurried():
            session.lock_store()
            if any(session.find(f"SELECT 1 FROM {table} LIMIT 1") for table in TABLES):  # noqa: S608 - names of ours
                raise UsageError(f"store {self._database.place} is not empty; name another one")
            slots = _Slots()
            counts = {table: _copy(session, table, slots.added(table, _carried(contents, table))) for table in TABLES}
            session.execute("UPDATE {sqlite:store}{postgres:genbridge_store} SET revision = :to", to=contents.revision)
            if self.is_shared:
                for table, key in _COUNTERS.items():
                    counter = f"setval(pg_get_serial_sequence('{table}', '{key}'), max({key}))"
                    session.find(f"SELECT {counter} FROM {table} HAVING max({key}) IS NOT NULL")  # noqa: S608
                session.execute(f"ANALYZE {', '.join(TABLES)}")
            session.wake(WORK)
        return counts


def _carried(contents: Contents, table: str) -> Iterator[Row]:
    """The rows of a table with values that both engines accept."""
    booleans = [place for place, kind in enumerate(TABLES[table].values()) if kind == "bool"]
    for row in contents.rows(table):
        made = [plain(value) if isinstance(value, str) else value for value in row]
        for place in booleans:
            made[place] = bool(made[place])
        yield tuple(made)


class _Slots:
    """Computes the columns that PostgreSQL alone has while the tables are copied in order."""

    def __init__(self) -> None:
        self._of_watch: dict[int, int] = {}
        self._of_event: dict[str, int] = {}

    def added(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows with those columns."""
        for row in rows:
            named = dict(zip(TABLES[table], row, strict=True))
            match table:
                case "watches":
                    slot = self._of_watch[named["watch_id"]] = slot_of(named["task_id"])
                    snapshot = named["snapshot"]
                    yield (*row, slot, None if snapshot is None else json_text(json.loads(snapshot)["urls"]))
                case "events":
                    self._of_event[named["event_id"]] = slot_of(named["subject"] or named["account"])
                    yield row
                case "deliveries" if named["watch_id"] is None:
                    yield (*row, self._of_event[named["event_id"]])
                case "deliveries":
                    yield (*row, self._of_watch[named["watch_id"]])
                case _:
                    yield row


def _copy(session: Session, table: str, rows: Iterator[Row]) -> int:
    given = session.load(table, rows)
    [(there,)] = session.find(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of ours
    if given != there:
        raise StoreError(f"table {table}: {there} rows have arrived of {given}; nothing has been written")
    return given
