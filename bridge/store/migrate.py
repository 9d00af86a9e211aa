"""Numbered migrations that upgrade a store: append-only SQL files, each applied in its own transaction.

The number of the last one is the store's version, set in the same transaction (SQLite: `user_version`). So after a
crash the next start continues where the last one stopped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from bridge.errors import StoreDamaged, StoreError


@cache
def migrations(engine: str) -> tuple[str, ...]:
    """The scripts of this engine (a folder of `sql/`), in order. Each upgrades a store by one version, the first one to
    version 1."""
    files = sorted((Path(__file__).parent / "sql" / engine).glob("*.sql"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1)), "numbered without gaps"
    return tuple(file.read_text(encoding="utf-8") for file in files)


def other_version(place: object, version: int, latest: int) -> StoreError:
    if version > latest:
        known = f"(store version {version}; this one knows {latest})"
        return StoreDamaged(f"store {place} was written by a newer genbridge {known}: upgrade genbridge")
    return StoreError(f"store {place} has an older version: `genbridge store migrate` upgrades it")


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Apply the missing migrations. Another process may do the same at the same time."""
    before = _version(connection)
    for number, script in enumerate(steps[before:], before + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) < number:  # else the other process has applied it
                for statement in statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number:d}")
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
