"""Moving: a whole store out of a file, or into one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bridge.errors import StoreError
from bridge.store.rows import Row
from bridge.store.sqlite.part import Part, revision
from bridge.store.tables import TABLES, Contents, carried, check_count, select


@dataclass(frozen=True, slots=True)
class _Contents:
    """`tables.Contents` on SQLite."""

    connection: sqlite3.Connection
    revision: int

    def rows(self, table: str) -> Iterator[Row]:
        yield from self.connection.execute(select(table))


class MovingPart(Part):
    """See `whole.Store`."""

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """See `whole.Store.contents`."""
        with self._database.write() as connection:  # though nothing is written: so that nobody else does
            yield _Contents(connection, revision(connection))

    def fill(self, contents: Contents) -> Mapping[str, int]:
        """See `whole.Store.fill`."""
        counts = {}
        with self._database.write() as connection:
            for table in TABLES:
                if _count(connection, table):
                    raise StoreError(f"store {self._database.path} is not empty; name another one")
            for table, columns in TABLES.items():
                places = ", ".join("?" * len(columns))
                insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of ours
                given = connection.executemany(insert, carried(contents, table)).rowcount
                counts[table] = max(given, 0)
                check_count(table, given=counts[table], there=_count(connection, table))
            connection.execute("UPDATE store SET revision = ?", (contents.revision,))
        return counts


def _count(connection: sqlite3.Connection, table: str) -> int:
    number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a name of ours
    return number
