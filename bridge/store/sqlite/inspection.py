"""Looks at a store before anything is done to it, and leaves every byte of it and of what lies beside it alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bridge.errors import StoreDamaged
from bridge.store import files
from bridge.store.migrate import migrations
from bridge.store.sqlite.failures import BUSY_TIMEOUT_S

APPLICATION_ID: Final = 0x67656E62  # "genb"; `file` shows it
LATEST: Final = len(migrations("sqlite"))


def inspect(path: Path, *, whole: bool) -> None:
    """StoreDamaged unless this is a store of ours, of a version we know, and (`whole`) its pages fit together.

    Through SQLite, though reading a hundred bytes would do for the first two: a process that closes a file of its own
    on the store thereby drops every lock it holds on it (fcntl's rule, which SQLite knows how to live with).
    """
    if path.stat().st_size == 0:
        raise StoreDamaged(f"store {path} is empty; restore a backup, or remove it to begin anew")
    try:
        _look(path, whole=whole)
    except (sqlite3.DatabaseError, StoreDamaged):
        # Without a log we read as if nobody wrote. If a daemon has begun to meanwhile, that was a mistake: again.
        if not is_in_use(path):
            raise
        _look(path, whole=whole)


def version_of(path: Path) -> int:
    """The number of the last migration. StoreDamaged unless this is a store of ours, of a version we know."""
    inspect(path, whole=False)
    connection, _ = connect_read_only(path)
    try:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version
    finally:
        connection.close()


def check_version(path: Path, version: int) -> None:
    """StoreDamaged when a newer genbridge has written this store."""
    if version > LATEST:
        raise StoreDamaged(
            f"store {path} was written by a newer genbridge (store version {version}; this one knows {LATEST}): upgrade"
        )


def is_in_use(path: Path) -> bool:
    """Whether somebody has the store open, or ended without closing it."""
    return files.beside(path)[0].exists()


def connect_read_only(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection that writes nothing, and whether it is good for one look only.

    A store in WAL mode that nobody has open would get its two companion files from a reader, or refuse one who
    may not create them; so it is read as immutable, which is true as long as nobody opens it.
    """
    is_quiet = not is_in_use(path)
    return connect(path, "mode=ro&immutable=1" if is_quiet else "mode=ro"), is_quiet


def connect(path: Path, how: str) -> sqlite3.Connection:
    """A connection that begins no transaction by itself; `how` is the query of an SQLite URI."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?{how}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,  # `Offload` has one call at a time, but on whichever thread is free
        cached_statements=256,
    )


def _look(path: Path, *, whole: bool) -> None:
    connection, _ = connect_read_only(path)
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreDamaged(f"store {path} belongs to another program; name another path")
        check_version(path, connection.execute("PRAGMA user_version").fetchone()[0])
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
    finally:
        connection.close()
    if found != "ok":
        told = " ".join(found.split())
        raise StoreDamaged(f"store {path} is damaged ({told}); restore a backup, or move it away to begin anew")
