"""Statements on PostgreSQL, where many rows are one array for each column."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from bridge.store.postgres.failures import lease_lost
from bridge.store.postgres.server_connection import ServerConnection
from bridge.store.rows import Row
from bridge.store.sql_session import WORK
from bridge.store.statements import LIST, SQL, TABLES, VALUE, Statement, chosen

if TYPE_CHECKING:
    from bridge.store.postgres.database import Database

OWN: Final[Mapping[str, Sequence[str]]] = {"watches": ("slot", "urls"), "deliveries": ("slot",)}
"""Columns that SQLite does not have. They are computed from the others."""
MUTE: Final = 0.25  # maximum silence of a guarded transaction, as a part of the lease
_UNHURRIED_S: Final = 3600.0
_FETCHED: Final = 2000  # rows at a time

_TYPES: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {  # on PostgreSQL, and as an element of an array
    "int": ("bigint", lambda value: str(int(value))),
    "float": ("float8", lambda value: str(float(value))),
    "text": ("text", lambda value: '"' + str(value).replace("\\", r"\\").replace('"', r"\"") + '"'),
    "bool": ("bool", lambda value: str(bool(value))),
    "bytes": ("bytea", lambda value: rf'"\\x{value.hex()}"'),
}


class PostgresSession:
    """`sql_session.Session` on one connection."""

    def __init__(self, connection: ServerConnection, database: Database) -> None:
        self.connection = connection
        self._database = database

    def execute(self, statement: str, **values: object) -> int:
        return self.connection.execute(plain_sql(statement), values or None).rowcount

    def find(self, statement: str, **values: object) -> list[Row]:
        return self.connection.execute(plain_sql(statement), values).fetchall()

    def run(self, statement: Statement, rows: Collection[Row]) -> list[Row]:
        if not rows:
            return []
        cursor = self.connection.execute(plain_sql(statement), arrays(statement, rows))
        return cursor.fetchall() if cursor.description else []

    def stream(self, statement: str) -> Iterator[Row]:
        with self.connection.cursor(name="stream") as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(statement)
            yield from cursor

    def load(self, table: str, rows: Iterable[Row]) -> int:
        count, columns = 0, ", ".join((*TABLES[table], *OWN.get(table, ())))
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
                count += 1
        return count

    @contextmanager
    def without_timeout(self) -> Iterator[None]:
        """See `Session.without_timeout`. It waits for locks for at most 30 s."""
        self.execute(SQL["server.unlimited"])
        with self.connection.patience(_UNHURRIED_S):
            yield

    def guard(self, *, alone: bool = False) -> None:
        """See `Session.guard`. With `alone` no other guarded transaction of ours is under way at the same time."""
        if self._database.fence is None:
            return
        if alone:
            self.execute(SQL["server.briefly"])
        idle_ms = str(int(self._database.lease_s * MUTE * 1000))
        how = SQL["server.guard_alone" if alone else "server.guard_together"]
        if not self.find(how, idle_ms=idle_ms, fence=self._database.fence):
            raise lease_lost()

    def lock_store(self) -> None:
        self.execute(SQL["server.lock_store"])

    def next_revision(self) -> int:
        revision: int = self.find(SQL["server.next_revision"])[0][0]
        self._notify(WORK)
        return revision

    def wake(self, what: str) -> None:
        """See `Session.wake`. Other processes are notified once this transaction is committed."""
        if what == WORK:
            self.execute(SQL["server.touch"])
        self._notify(what)

    def _notify(self, what: str) -> None:
        self.execute(SQL["server.notify"], what=f"{self._database.writer} {what}")


@lru_cache(maxsize=None, typed=True)
def plain_sql(statement: str) -> str:
    """The statement as psycopg takes it, with an array for each column of `{new}`."""
    text = LIST.sub(lambda found: f"{'<> ALL' if found[1] else '= ANY'}(:{found[2]})", chosen(statement, "postgres"))
    text = VALUE.sub(r"%(\1)s", text)
    if isinstance(statement, Statement) and statement.new:
        is_ordered = "{in order}" in text
        types = ", ".join(f"%s::{_TYPES[kind][0]}[]" for kind in statement.new.values())
        names = ", ".join([*statement.new, *(["place"] if is_ordered else [])])
        table = f"unnest({types}) {'WITH ORDINALITY ' if is_ordered else ''}AS new ({names})"
        text = text.replace("{new}", table).replace("{in order}", "ORDER BY place")
    return text


def arrays(statement: Statement, rows: Iterable[Row]) -> list[str]:
    """Rows as one array for each column, in PostgreSQL's own notation. psycopg takes four times as long to write it."""
    writers = [_TYPES[kind][1] for kind in statement.new.values()]
    return [
        f"{{{','.join(['NULL' if value is None else write(value) for value in column])}}}"
        for write, column in zip(writers, zip(*rows, strict=True), strict=True)
    ]
