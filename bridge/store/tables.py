"""The tables of a store and their columns: everything that moves from one engine to another.

PostgreSQL has a few more columns, which are computed from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from bridge.store.rows import Row, plain
from bridge.store.sql_files import SQL

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    table: dict(column.split() for column in columns.split(","))
    for table, (_, _, columns) in SQL.file("tables").items()
}
"""Each table's columns with their types: int, float, text, bool or bytes."""
OWN: Final[Mapping[str, Sequence[str]]] = {"watches": ("slot", "urls"), "deliveries": ("slot",)}
"""Columns that PostgreSQL alone has, computed from the others."""


def select(table: str) -> str:
    """Every row with the columns of `TABLES`. Both engines have one order: each primary key lies within the first three
    columns."""
    columns = TABLES[table]
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(list(columns)[:3])}"  # noqa: S608 - names of ours


class Contents(Protocol):
    """A store at one instant. It does not change during the copy."""

    @property
    def revision(self) -> int: ...

    def rows(self, table: str) -> Iterator[Row]:
        """Every row, in the order of `select`."""


def carried(contents: Contents, table: str) -> Iterator[Row]:
    """The rows of a table with values that both engines accept."""
    booleans = [place for place, kind in enumerate(TABLES[table].values()) if kind == "bool"]
    for row in contents.rows(table):
        made = [plain(value) if isinstance(value, str) else value for value in row]
        for place in booleans:
            made[place] = bool(made[place])
        yield tuple(made)
