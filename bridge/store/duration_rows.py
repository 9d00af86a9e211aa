"""Rows to tables of durations and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.domain.durations import table as durations_table
from bridge.domain.durations.table import DurationKey, Table
from bridge.store.rows import Row, plain

SELECT_DURATIONS: Final = "SELECT account, action, variant, sums"


def durations(found: Iterable[Row]) -> dict[DurationKey, Table | None]:
    """From rows of `SELECT_DURATIONS`; None where the table cannot be read."""
    return {DurationKey(*key): _table(sums) for *key, sums in found}


def _table(sums: str) -> Table | None:
    try:
        return durations_table.table(sums)
    except (ValueError, TypeError):
        return None


def durations_row(key: DurationKey, seen: Table) -> Row:
    """The columns of `SELECT_DURATIONS`."""
    return *map(plain, key), durations_table.text(seen)
