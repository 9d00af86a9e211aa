"""Numbered migrations that upgrade a store: append-only SQL files, each applied in its own transaction.

The number of the last one is the store's version, set in the same transaction (SQLite: `user_version`). So after a
crash the next start continues where the last one stopped.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bridge.errors import StoreDamaged, StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Upgrades a store from version `number - 1` to `number`."""

    number: int
    name: str
    sql: str


@cache
def migrations(engine: str) -> tuple[Migration, ...]:
    """All migrations of this engine (a folder of `sql/`), in order, numbered from 1 without gaps."""
    found = []
    for file in (Path(__file__).parent / "sql" / engine).iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(number=int(match[1]), name=match[2], sql=file.read_text(encoding="utf-8")))
    found.sort(key=lambda step: step.number)
    assert [step.number for step in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return tuple(found)


def other_version(place: object, version: int, latest: int) -> StoreError:
    if version > latest:
        known = f"(store version {version}; this one knows {latest})"
        return StoreDamaged(f"store {place} was written by a newer genbridge {known}: upgrade")
    return StoreError(f"store {place} is of an older version: `genbridge store migrate` brings it up to date")


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Apply the missing migrations. Another process may do the same at the same time."""
    version = _version(connection)
    for step in steps[version:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) < step.number:  # else the other process has applied it
                for statement in statements(step.sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {step.number:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def statements(sql: str) -> Iterator[str]:
    """The statements of a script, one by one, because `executescript` would commit first."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
