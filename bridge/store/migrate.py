"""Numbered steps that bring a store up to date: append-only SQL files, each applied in a transaction of its own.

The number of the last step applied is the store's version (SQLite: `user_version`, set in the same transaction), so
a process killed between or within steps leaves a store that the next start takes on from there.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: brings a store from version `number - 1` to `number`."""

    number: int
    name: str
    sql: str


@cache
def migrations(engine: str) -> tuple[Migration, ...]:
    """All steps for this engine (a folder of `sql/`), first to last, numbered from 1 without gaps."""
    found = []
    for file in (resources.files("bridge.store") / "sql" / engine).iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(number=int(match[1]), name=match[2], sql=file.read_text(encoding="utf-8")))
    found.sort(key=lambda step: step.number)
    assert [step.number for step in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return tuple(found)


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Apply the steps the store still lacks. Safe beside another process that does the same."""
    version = _version(connection)
    for step in steps[version:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) < step.number:  # else that other process was quicker
                for statement in statements(step.sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {step.number:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def statements(sql: str) -> Iterator[str]:
    """The single statements of a script: `executescript` would commit before the first of them."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
