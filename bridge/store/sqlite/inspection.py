"""Looks at a store's file without changing it or the files beside it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bridge.domain.views import Ownership
from bridge.errors import StoreDamaged
from bridge.store import files
from bridge.store.migrations import migrations, other_version
from bridge.store.rows import stored_json
from bridge.store.sqlite.failures import BUSY_TIMEOUT_S, damaged, understood
from bridge.store.statements import SQL

APPLICATION_ID: Final = 0x67656E62  # "genb"; `file` shows it
LATEST: Final = len(migrations("sqlite"))


def version_of(path: Path, *, whole: bool = False, copied: Path | None = None) -> int:
    """The number of the last migration. StoreDamaged if this is not a store of a known version, or, with `whole`, if a
    page is damaged. StoreError if the file cannot be read now. Errors are about `copied` if this is a copy of it.

    This goes through SQLite: a process that opens and closes the file itself loses all its locks on it (a rule of
    fcntl).
    """
    try:
        if path.stat().st_size == 0:
            raise StoreDamaged(f"store {path} is empty", "restore a backup, or remove it to start with an empty store")
        before = _stamp(path)
        try:
            return _look(connect_read_only(path)[0], copied or path, whole=whole)
        except (sqlite3.DatabaseError, StoreDamaged):
            # Without a log, the file is read as if nobody wrote to it. If somebody did, read it again with locks.
            if not is_in_use(path) and _stamp(path) == before:
                raise
            return _look(connect(path, "mode=ro"), copied or path, whole=whole)
    except sqlite3.Error as error:
        raise understood(error, copied or path) from error


def is_in_use(path: Path) -> bool:
    """Whether a process has the store open, or was killed while it had."""
    return files.beside(path)[0].exists()


def connect_read_only(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection that writes nothing, and whether it must be closed after one read.

    A reader of a store in WAL mode creates two files beside it, and fails without permission to do so. So if nobody has
    the store open, it is read as immutable. That is correct only until somebody opens it.
    """
    is_quiet = not is_in_use(path)
    return connect(path, "mode=ro&immutable=1" if is_quiet else "mode=ro"), is_quiet


def connect(path: Path, how: str) -> sqlite3.Connection:
    """A connection in autocommit mode; `how` is the query of an SQLite URI."""
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?{how}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,  # `Offload` has one call at a time, but on whichever thread is free
        cached_statements=256,
    )


def _stamp(path: Path) -> tuple[int, int, int]:
    """Differs after a write to the file."""
    seen = path.stat()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _look(connection: sqlite3.Connection, path: Path, *, whole: bool) -> int:
    with closing(connection):
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreDamaged(f"store {path} belongs to another program", "name another path")
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > LATEST:
            raise other_version(path, version, LATEST)
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
    if found != "ok":
        raise damaged(path, " ".join(found.split()))
    return version


def ownership(path: Path) -> Ownership:
    """Read from a store of any version, without changing it. StoreDamaged or StoreError when it cannot be read."""
    version_of(path)
    try:
        with closing(connect_read_only(path)[0]) as connection:
            columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(store)")}
            row = connection.execute(SQL["commands.owner"]).fetchone() if "base_urls" in columns else (None, "{}")
            live = {account: int(number) for account, number in connection.execute(SQL["commands.live_by_account"])}
            waiting = connection.execute(SQL["commands.count_waiting"]).fetchone()[0]
    except sqlite3.Error as error:
        raise understood(error, path) from error
    return Ownership(
        settings=row[0], base_urls=stored_json("base URLs", "store", row[1], dict) or {}, live=live, waiting=waiting
    )
