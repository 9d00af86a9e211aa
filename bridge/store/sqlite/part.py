"""What the slices of one store share."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from bridge.domain.ids import WatchKey
from bridge.store.rows import Row
from bridge.store.sqlite.database import Database

FIND: Final = "SELECT watch_id, phase FROM watches WHERE task_id = ? AND account = ?"
ADD_FACT: Final = "INSERT INTO history (watch_id, at, what, detail) VALUES (?, ?, ?, ?)"
ENABLE: Final = "UPDATE endpoints SET disabled_at = NULL WHERE endpoint = ? AND disabled_at IS NOT NULL"


class Part:
    """One slice of a store: a few methods over the database all slices share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fingerprints: Mapping[str, str] = {}  # of the endpoints' settings, as last told to `disabled`


def found(connection: sqlite3.Connection, key: WatchKey) -> Row | None:
    """watch_id and phase of a watch."""
    row: Row | None = connection.execute(FIND, (key.task_id, key.account)).fetchone()
    return row


def next_revision(connection: sqlite3.Connection) -> int:
    """The revision of what this transaction touches."""
    connection.execute("UPDATE store SET revision = revision + 1")
    return revision(connection)


def revision(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT revision FROM store").fetchone()[0]
    return number
