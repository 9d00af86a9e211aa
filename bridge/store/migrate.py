"""Numbered migrations that upgrade a store: append-only SQL files.

The missing ones are applied in one transaction, so a failed upgrade leaves the old store. The number of the last one is
the store's version, set in the same transaction (SQLite: `user_version`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
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
    """Apply the missing migrations: all of them, or none. Another process may do the same at the same time."""
    if _version(connection) >= len(steps):
        return
    with connection:  # it commits, or rolls back after an error
        connection.execute("BEGIN IMMEDIATE")
        if missing := steps[_version(connection) :]:  # none if the other process has applied them
            for statement in chain.from_iterable(map(statements, missing)):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(steps):d}")


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
