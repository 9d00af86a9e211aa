"""What moves from one engine to another: the rows of `TABLES`. PostgreSQL has a few more columns, which are computed
from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from bridge.store.rows import Row, plain
from bridge.store.statements import TABLES

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
