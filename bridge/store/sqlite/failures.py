"""SQLite's errors as errors for the person who runs genbridge."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from bridge.errors import BridgeBug, GenbridgeError, StoreDamaged, StoreError
from bridge.store import files

BUSY_TIMEOUT_S: Final = 5.0

_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OTHER_TABLES: Final = ("no such table", "column", "already exists", "ON CONFLICT clause")
_CLOSED: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_SPOILING: Final = _DAMAGED | _CLOSED | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def understood(error: sqlite3.Error, path: Path) -> GenbridgeError:
    """The error that says what happened and how to fix it."""
    code = _code(error)
    if code in _LOCKED:
        return StoreError(f"store {path}: another process has kept it locked for {BUSY_TIMEOUT_S:g} s; try again later")
    if code in _DAMAGED or (code == sqlite3.SQLITE_ERROR and any(said in str(error) for said in _OTHER_TABLES)):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return files.os_error(OSError(errno.ENOSPC, ""), path)
    if code == sqlite3.SQLITE_IOERR:
        name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
        return StoreError(
            f"store {path}: the disk failed ({name}); check the kernel's log, and whether the disk is full"
        )
    if code in _CLOSED:
        return _closed(error, path)
    return BridgeBug(f"store {path}: {type(error).__name__}: {error}")


def damaged(path: Path, found: str) -> StoreDamaged:
    """The error about a store whose file is damaged."""
    advice = "restore a backup, or move it and its -wal file away to start with an empty store"
    return StoreDamaged(f"store {path} is damaged ({found})", advice)


def spoils_handle(error: sqlite3.Error) -> bool:
    """Whether the connection must not be used again. After a failed sync the kernel may have dropped the pages it could
    not write, and it reports that only once."""
    return _code(error) in _SPOILING


def _code(error: sqlite3.Error) -> int:
    """The primary code: the higher bytes are details (sqlite.org/rescode.html)."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def _closed(error: sqlite3.Error, path: Path) -> GenbridgeError:
    if not path.parent.is_dir():
        return files.os_error(OSError(errno.ENOENT, ""), path)
    try:
        if not files.exists(path):
            return files.vanished(path)
    except StoreError as known:
        return known
    if not os.access(path, os.R_OK, effective_ids=True):
        return files.no_permission(path)
    return files.why_unwritable(path) or StoreError(
        f"store {path} cannot be opened ({error}); check the file system and the limit of open files"
    )
