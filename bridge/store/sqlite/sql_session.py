"""Statements on SQLite.

After every step SQLite takes the interpreter's lock again. While the event loop is busy, each turn takes up to
`sys.getswitchinterval()`: row by row, 165 transitions took half a second, a tenth of it work (measured). Therefore many
rows go in as one VALUES list, and the rows of an answer come out as one JSON text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import orjson

from bridge.domain.task import Phase, ReadingKind
from bridge.store.rows import Row, json_text
from bridge.store.statements import COLUMN_TYPES, LIST, TABLES, Statement, chosen

_AT_ONCE: Final = (256, 64, 16, 4, 1)  # rows in one step; few sizes, so that few statements are compiled

# Without adapters, sqlite3 searches in vain for a conversion of each of these values, which takes twice as long.
sqlite3.register_adapter(type(None), lambda none: none)
sqlite3.register_adapter(Phase, str.__str__)
sqlite3.register_adapter(ReadingKind, str.__str__)


class SqliteSession:
    """`sql_session.Session` on one connection. There is one writer at a time, so it needs no locks."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def execute(self, statement: str, **values: object) -> int:
        return self.connection.execute(plain_sql(statement), _bound(values)).rowcount

    def find(self, statement: str, **values: object) -> list[Row]:
        if isinstance(statement, Statement) and statement.answer:
            found = self.connection.execute(plain_sql(statement), _bound(values)).fetchone()
            return _decoded(found[0], _blobs(statement.answer))
        # All rows. This is 25 % faster if every text is valid UTF-8. When a daemon starts, there may be a million.
        connection, sql, bound = self.connection, plain_sql(statement), _bound(values)
        sound_text, connection.text_factory = connection.text_factory, str
        try:
            return connection.execute(sql, bound).fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is not None:
                raise
        finally:
            connection.text_factory = sound_text
        return connection.execute(sql, bound).fetchall()

    def run(self, statement: Statement, rows: Collection[Row]) -> list[Row]:
        found: list[Row] = []
        left = list(rows)
        while left:
            count = next(count for count in _AT_ONCE if count <= len(left))
            cursor = self.connection.execute(plain_sql(statement, count), tuple(chain.from_iterable(left[:count])))
            found += _decoded(cursor.fetchone()[0]) if statement.answer else cursor.fetchall()
            del left[:count]
        return found

    def stream(self, statement: str) -> Iterator[Row]:
        yield from self.connection.execute(statement)

    def load(self, table: str, rows: Iterable[Row]) -> int:
        columns = TABLES[table]
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of ours
        return max(self.connection.executemany(sql, (row[: len(columns)] for row in rows)).rowcount, 0)

    def without_timeout(self) -> AbstractContextManager[None]:
        return nullcontext()  # SQLite has no time limit for a statement

    def guard(self) -> None:
        """Nothing to do: the lock on the file is the lease."""

    def lock_store(self) -> None:
        """Nothing to do: there is one writer at a time."""

    def next_revision(self) -> int:
        revision: int = self.find("UPDATE store SET revision = revision + 1 RETURNING revision")[0][0]
        return revision

    def wake(self, what: str) -> None:
        """Nothing to do: SQLite itself counts commits."""


@lru_cache(maxsize=None, typed=True)
def plain_sql(statement: str, rows: int = 0) -> str:
    """The statement in the SQL dialect of SQLite, for this number of rows."""
    new, answer = (statement.new, statement.answer) if isinstance(statement, Statement) else ({}, ())
    sql = statement
    if answer:
        names = [f"c{place}" for place in range(len(answer))]
        named = ", ".join(f"{column} AS {name}" for column, name in zip(answer, names, strict=True))
        shown = [_in_json(column, name) for column, name in zip(answer, names, strict=True)]
        rows_found = sql.replace(", ".join(answer), named, 1)
        sql = f"SELECT json_group_array(json_array({', '.join(shown)})) FROM ({rows_found})"  # noqa: S608 - names of ours
    sql = chosen(sql, "sqlite").replace("{new}", "new").replace("{in order}", "")
    sql = LIST.sub(lambda found: f"{found[1] or ''}IN (SELECT value FROM json_each(:{found[2]}))", sql)  # noqa: S608 - a name of ours
    if rows:
        row = f"({', '.join('?' * len(new))})"
        sql = f"WITH new ({', '.join(new)}) AS (VALUES {', '.join([row] * rows)}) {sql}"
    return sql


def _in_json(column: str, name: str) -> str:
    """How a column of this name is written as JSON.

    JSON has no bytes. Numbers have 17 digits, which preserve every instant, duration and percentage (SQLite is inexact
    only with numbers of hundreds of digits). SQLite's own JSON has 15 digits before version 3.43.
    """
    match COLUMN_TYPES.get(column, "float"):  # an expression such as coalesce(...) may be a number with a fraction
        case "bytes":
            return f"hex({name})"
        case "float":
            return f"CASE typeof({name}) WHEN 'real' THEN json(printf('%!.17g', {name})) ELSE {name} END"
    return name


def _blobs(columns: Sequence[str]) -> list[int]:
    """The positions of the columns with bytes."""
    return [place for place, column in enumerate(columns) if COLUMN_TYPES.get(column) == "bytes"]


def _decoded(answer: str, blobs: Sequence[int] = ()) -> list[Row]:
    rows: list[list[object]] = orjson.loads(answer)
    for place in blobs:
        for row in rows:
            row[place] = bytes.fromhex(str(row[place]))
    return list(map(tuple, rows))


def _bound(values: dict[str, Any]) -> dict[str, Any]:
    """The values as SQLite takes them; a list becomes a JSON array."""
    return {name: json_text(value) if isinstance(value, list | tuple) else value for name, value in values.items()}
