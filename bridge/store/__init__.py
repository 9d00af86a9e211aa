"""Where watches, events and deliveries are kept: opens a store, and holds the lock of its one daemon."""

from __future__ import annotations

import os
from pathlib import Path

from bridge.clock import SystemClock
from bridge.errors import StoreError
from bridge.ports import Clock
from bridge.store import files
from bridge.store.lock import DaemonLock
from bridge.store.sqlite import SqliteStore
from bridge.store.sqlite.database import MEMORY, Database
from bridge.store.sqlite.database import create as make

__all__ = ["DaemonLock", "SqliteStore", "open_store"]


def open_store(
    path: Path | str, *, create: bool, group_access: bool, read_only: bool = False, clock: Clock | None = None
) -> SqliteStore:
    """The store at `path`, checked and brought up to date; ":memory:" is a new one that ends with the object.

    With `create` a missing one is made, 0600 in a directory 0700, or 0640 in 0750 with `group_access`; directories
    that are there keep their mode. With `read_only` nothing is written, and a call that would write raises StoreError;
    so it is, unless `create`, for whoever may not write the store. `clock` tells `busy_since` the time.

    StoreDamaged when the file is damaged, foreign or newer: it has not been touched. StoreError when it is missing or
    cannot be opened.
    """
    place = MEMORY if str(path) == str(MEMORY) else Path(os.path.realpath(path))
    if place != MEMORY:
        if not files.exists(place):
            if not create or read_only:
                raise StoreError(f"there is no store {place}; start `genbridge run` once, or name another path")
            make(place, group_access=group_access)
        elif unwritable := files.why_unwritable(place):
            if create:
                raise unwritable
            read_only = True
        elif not read_only:
            files.tighten(place, files.file_mode(group_access=group_access))
    database = Database(place, read_only=read_only, clock=clock or SystemClock())
    try:
        database.prepare()
    except BaseException:
        database.close()
        raise
    return SqliteStore(database)
