"""Statements about many rows, each run in one step or a few.

SQLite works outside of the interpreter's lock and asks for it again after every step; while the loop is busy each of
these turns takes up to `sys.getswitchinterval()`, 5 ms. Run row by row, 165 transitions of a burst took half a second
that way, of which a tenth was work (measured).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

import orjson

from bridge.store.rows import Row

_AT_ONCE: Final = (256, 64, 16, 4, 1)  # rows in a step: few, so that few statements are compiled


class Many:
    """A statement that finds its rows in a table `new` of these columns."""

    def __init__(self, columns: str, statement: str) -> None:
        self._width = len(columns.split(","))
        self._columns = columns
        self._statement = statement

    def run(self, connection: sqlite3.Connection, rows: Collection[Row]) -> None:
        """Once for all rows, which keep their order."""
        left = list(rows)
        while left:
            count = _count(len(left))
            connection.execute(self.sql(count), tuple(chain.from_iterable(left[:count])))
            del left[:count]

    def ask(self, connection: sqlite3.Connection, rows: Collection[Row]) -> list[Row]:
        """All that a statement (of `json_rows`) finds for all rows."""
        found: list[Row] = []
        left = list(rows)
        while left:
            count = _count(len(left))
            answer = connection.execute(self.sql(count), tuple(chain.from_iterable(left[:count]))).fetchone()
            found += map(tuple, orjson.loads(answer[0]))
            del left[:count]
        return found

    def sql(self, count: int) -> str:
        """The statement for so many rows."""
        return _sql(self._columns, self._width, self._statement, count)


def json_rows(columns: Sequence[str]) -> str:
    """The start of a SELECT that gives all its rows at once, as a JSON array of arrays.

    Seventeen digits bring every instant, duration and percentage back as it was (SQLite is inexact with numbers of
    hundreds of digits alone); its own JSON has fifteen before 3.43.
    """
    return f"SELECT json_group_array(json_array({', '.join(map(_exact, columns))}))"


def _exact(column: str) -> str:
    return f"CASE typeof({column}) WHEN 'real' THEN json(printf('%!.17g', {column})) ELSE {column} END"


def _count(rows: int) -> int:
    return next(count for count in _AT_ONCE if count <= rows)


@lru_cache(128)
def _sql(columns: str, width: int, statement: str, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"WITH new ({columns}) AS (VALUES {', '.join([row] * count)}) {statement}"
