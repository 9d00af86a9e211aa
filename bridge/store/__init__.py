"""Where watches, events and deliveries are kept: opens a store, and holds the lock of its one daemon."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import overload

from bridge.clock import SystemClock
from bridge.config.place import PostgresUrl
from bridge.errors import ConfigError, StoreError
from bridge.store import files
from bridge.store.lock import DaemonLock
from bridge.store.sqlite import SqliteStore
from bridge.store.sqlite.database import MEMORY, Database
from bridge.store.sqlite.database import create as make
from bridge.store.sqlite.inspection import LATEST, version_of
from bridge.store.whole import Store

__all__ = ["DaemonLock", "Place", "SqliteStore", "Store", "migrate_store", "open_store"]

Place = Path | PostgresUrl
"""Where a store is. Printed, it shows no secret."""


@overload
def open_store(place: Path | str, *, create: bool, group_access: bool, read_only: bool = False) -> SqliteStore: ...


@overload
def open_store(place: Place, *, create: bool, group_access: bool) -> Store: ...


def open_store(place: Place | str, *, create: bool, group_access: bool, read_only: bool = False) -> Store:
    """The store at this place, checked and brought up to date; ":memory:" is a new one that ends with the object.

    With `create` a missing one is made: a file 0600 in a directory 0700, or 0640 in 0750 with `group_access`;
    directories that are there keep their mode. With `read_only` nothing is written to a file, and a call that would
    write raises StoreError; so it is, unless `create`, for whoever may not write the file. A store in PostgreSQL is
    brought up to date with `create` only, as others may be at work on it.

    StoreDamaged when it is damaged, foreign or newer: it has not been touched. StoreError when it is missing or cannot
    be opened. ConfigError when PostgreSQL's driver is.
    """
    if isinstance(place, PostgresUrl):
        store: Store = _postgres(place).open_postgres(place, create=create, clock=SystemClock())
        return store
    path = MEMORY if str(place) == str(MEMORY) else Path(os.path.realpath(place))
    if path != MEMORY:
        if not files.exists(path):
            if not create or read_only:
                raise StoreError(f"there is no store {path}; start `genbridge run` once, or name another path")
            make(path, group_access=group_access)
        elif unwritable := files.why_unwritable(path):
            if create:
                raise unwritable
            read_only = True
        elif not read_only:
            files.tighten(path, files.file_mode(group_access=group_access))
    database = Database(path, read_only=read_only)
    try:
        database.prepare()
    except BaseException:
        database.close()
        raise
    return SqliteStore(database)


def migrate_store(place: Place, *, group_access: bool) -> tuple[int, int]:
    """Bring a store up to date; says from which version (0: there was none) to which. A missing file is not made."""
    if isinstance(place, PostgresUrl):
        versions: tuple[int, int] = _postgres(place).migrate_postgres(place, clock=SystemClock())
        return versions
    before = version_of(place) if files.exists(place) else 0
    open_store(place, create=False, group_access=group_access).close()
    return before, LATEST


def _postgres(place: PostgresUrl) -> ModuleType:
    try:
        return import_module("bridge.store.postgres")  # now only: most have no use for it, and do without its driver
    except ImportError as error:
        # By the interpreter, whichever way genbridge was installed into its environment.
        how = f"{sys.executable} -m pip install 'psycopg[binary]>=3.2'"
        raise ConfigError(
            [f"store {place}: PostgreSQL's driver is missing ({error}): {how} (or, in a checkout, '.[postgres]')"]
        ) from None
