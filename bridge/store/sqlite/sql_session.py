"""Statements on SQLite.

After every step SQLite takes the interpreter's lock again. While the event loop is busy, each turn takes up to
`sys.getswitchinterval()`: row by row, 165 transitions took half a second, a tenth of it work (measured). Therefore a
batch goes in as one VALUES list, and rows come out as one JSON text.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from itertools import chain
from typing import Any, Final

import orjson

from bridge.store.rows import Row, json_text
from bridge.store.statements import LIST, Batch, Question, chosen
from bridge.store.tables import TABLES

_AT_ONCE: Final = (256, 64, 16, 4, 1)  # rows in a step: few sizes, so that few statements are compiled


class SqliteSession:
    """`statements.Session` on one connection. There is one writer at a time, so it needs no locks."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def execute(self, statement: str, **values: object) -> int:
        return self.connection.execute(plain_sql(statement), _bound(values)).rowcount

    def find(self, statement: str | Question, **values: object) -> list[Row]:
        if isinstance(statement, str):
            return self._fetched(plain_sql(statement), _bound(values))
        answer = self.connection.execute(question_sql(statement), _bound(values)).fetchone()
        return _decoded(answer[0], _blobs(statement.columns))

    def run(self, batch: Batch, rows: Collection[Row]) -> list[Row]:
        found: list[Row] = []
        left = list(rows)
        while left:
            count = next(count for count in _AT_ONCE if count <= len(left))
            cursor = self.connection.execute(batch_sql(batch, count), tuple(chain.from_iterable(left[:count])))
            found += _decoded(cursor.fetchone()[0]) if batch.answer else cursor.fetchall()
            del left[:count]
        return found

    def stream(self, statement: str) -> Iterator[Row]:
        yield from self.connection.execute(statement)

    def load(self, table: str, rows: Iterable[Row]) -> int:
        columns = TABLES[table]
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of ours
        return max(self.connection.executemany(sql, (row[: len(columns)] for row in rows)).rowcount, 0)

    def unhurried(self) -> AbstractContextManager[None]:
        """See `Session.unhurried`. Nothing ends a statement."""
        return nullcontext()

    def guard(self) -> None:
        """See `Session.guard`. The lock on the file is the lease."""

    def lock_store(self) -> None:
        """See `Session.lock_store`. There is one writer at a time."""

    def next_revision(self) -> int:
        revision: int = self.find("UPDATE store SET revision = revision + 1 RETURNING revision")[0][0]
        return revision

    def event_numbers(self) -> Iterator[int | None]:
        """See `Session.event_numbers`. The newest event always keeps its number, so none is used twice."""
        last: int = self.find("SELECT coalesce(max(number), 0) FROM events WHERE number IS NOT NULL")[0][0]
        yield from itertools.count(last + 1)

    def touch(self) -> None:
        """See `Session.touch`. SQLite itself counts commits."""

    def wake(self, what: str) -> None:
        """See `Session.wake`. SQLite itself counts commits."""

    def _fetched(self, statement: str, values: dict[str, Any]) -> list[Row]:
        """All rows; a quarter quicker where every text is valid UTF-8. At start they may be a million."""
        connection = self.connection
        sound_text, connection.text_factory = connection.text_factory, str
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is not None:
                raise
        finally:
            connection.text_factory = sound_text
        return connection.execute(statement, values).fetchall()


@cache
def batch_sql(batch: Batch, count: int) -> str:
    """The statement for this number of rows."""
    row = f"({', '.join('?' * len(batch.columns))})"
    sql = chosen(batch.sql, "sqlite").replace("{new}", "new").replace("{in order}", "")
    select = _json_rows(batch.answer) if batch.answer else ""
    return f"WITH new ({', '.join(batch.columns)}) AS (VALUES {', '.join([row] * count)}) {select} {sql}"


@cache
def question_sql(question: Question) -> str:
    """The statement that answers in one step."""
    names = [f"c{place}" for place in range(len(question.columns))]
    named = ", ".join(f"{column} AS {name}" for column, name in zip(question.columns, names, strict=True))
    blobs = _blobs(question.columns)
    shown = [f"hex({name})" if place in blobs else name for place, name in enumerate(names)]
    return plain_sql(f"{_json_rows(shown)} FROM (SELECT {named} {question.rest})")


def _json_rows(columns: Sequence[str]) -> str:
    """The start of a SELECT that gives all its rows at once, as a JSON array of arrays.

    Seventeen digits bring every instant, duration and percentage back as it was (SQLite is inexact with numbers of
    hundreds of digits alone); its own JSON has fifteen before 3.43.
    """
    return f"SELECT json_group_array(json_array({', '.join(map(_exact, columns))}))"


def _exact(column: str) -> str:
    return f"CASE typeof({column}) WHEN 'real' THEN json(printf('%!.17g', {column})) ELSE {column} END"


def _blobs(columns: Sequence[str]) -> list[int]:
    """The places of the columns that hold bytes, which JSON has not."""
    return [place for place, column in enumerate(columns) if column == "body"]


def _decoded(answer: str, blobs: Sequence[int] = ()) -> list[Row]:
    rows: list[list[object]] = orjson.loads(answer)
    for place in blobs:
        for row in rows:
            row[place] = bytes.fromhex(str(row[place]))
    return list(map(tuple, rows))


def _bound(values: dict[str, Any]) -> dict[str, Any]:
    """The values as SQLite takes them; a list becomes a JSON array."""
    return {name: json_text(value) if isinstance(value, list | tuple) else value for name, value in values.items()}


@cache
def plain_sql(statement: str) -> str:
    """The statement in the SQL dialect of SQLite."""
    return LIST.sub(_of_json, chosen(statement, "sqlite"))


def _of_json(found: re.Match[str]) -> str:
    return f"{found[1] or ''}IN (SELECT value FROM json_each(:{found[2]}))"  # noqa: S608 - a name of ours
