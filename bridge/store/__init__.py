"""Watches, events and deliveries on disk: opens a store, and holds the lock of its daemon."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bridge.clock import SystemClock
from bridge.config.postgres_url import PostgresUrl
from bridge.errors import ConfigError, StoreError, how_to_install
from bridge.store import files
from bridge.store.lock import DaemonLock
from bridge.store.read_store import ReadStore
from bridge.store.sql_session import Transactions
from bridge.store.sqlite.database import MEMORY, Database
from bridge.store.sqlite.inspection import LATEST, version_of

if TYPE_CHECKING:
    from bridge.store.command_store import CommandStore
    from bridge.store.event_log import FollowStore
    from bridge.store.full_store import Store

__all__ = [
    "DaemonLock",
    "ReadStore",
    "Store",
    "StorePlace",
    "migrate_store",
    "open_command_store",
    "open_follower",
    "open_reader",
    "open_store",
    "usable_version",
]

StorePlace = Path | PostgresUrl
"""Where a store is. Printed, it shows no secret."""


def open_store(place: StorePlace | str, *, create: bool, group_access: bool) -> Store:
    """The store at this place, checked and upgraded; ":memory:" is a new one that ends with the object.

    With `create` a missing one is created: a file 0600 in a directory 0700, or 0640 in 0750 with `group_access`.
    Existing directories keep their mode. Without `create`, a file that is not writable is opened, and a call that would
    write raises StoreError. A store in PostgreSQL is upgraded only with `create`, because others may use it.

    If the store is damaged, is of a newer version or belongs to another program, this raises StoreDamaged and changes
    nothing. StoreError if it is missing or cannot be opened. ConfigError if PostgreSQL's driver is missing.
    """
    database = _database(place, create=create, group_access=group_access)
    if isinstance(place, PostgresUrl):
        shared: Store = _postgres(place).PostgresStore(database)
        return shared
    from bridge.store.full_store import Store  # here, because commands do not need it

    return Store(database)


def open_command_store(place: StorePlace, *, create: bool, group_access: bool) -> CommandStore:
    """The same, for a command that writes while daemons run."""
    from bridge.store.command_store import CommandStore  # here, because readers do not need it

    return CommandStore(_database(place, create=create, group_access=group_access))


def open_reader(place: StorePlace) -> ReadStore:
    """The store at this place, to read only. It has its own connections, so it neither waits for another object's
    commit nor delays one. Give it its own `Offload`.

    StoreError if the store is missing, cannot be opened, or is of an older version. StoreDamaged if it is damaged, is
    of a newer version, or belongs to another program.
    """
    return ReadStore(_database(place, create=False, read_only=True))


def open_follower(place: StorePlace) -> FollowStore:
    """The same, for one reader that follows what is committed."""
    from bridge.store.event_log import FollowStore  # here, because commands do not need it

    return FollowStore(_database(place, create=False, read_only=True))


def usable_version(place: PostgresUrl) -> tuple[int, int]:
    """The version of the store at this place (0: no store yet), and the latest version. Raises the errors of
    `open_store`, but changes nothing."""
    versions: tuple[int, int] = _postgres(place).usable_version(place, clock=SystemClock())
    return versions


def migrate_store(place: StorePlace, *, group_access: bool) -> tuple[int, int]:
    """Upgrade a store. Returns the versions before (0: it did not exist) and after. A missing file is not created."""
    if isinstance(place, PostgresUrl):
        versions: tuple[int, int] = _postgres(place).migrate_postgres(place, clock=SystemClock())
        return versions
    before = version_of(place) if files.exists(place) else 0
    open_store(place, create=before > 0, group_access=group_access).close()
    return before, LATEST


def _database(
    place: StorePlace | str, *, create: bool, group_access: bool = False, read_only: bool = False
) -> Transactions:
    if isinstance(place, PostgresUrl):
        shared: Transactions = _postgres(place).connected(place, create=create, clock=SystemClock())
        return shared
    path = MEMORY if str(place) == str(MEMORY) else Path(os.path.realpath(place))
    if path != MEMORY and not files.exists(path):
        if not create or read_only:
            raise StoreError(f"there is no store {path}; start `genbridge run` once, or name another path")
        from bridge.store.sqlite.store_file import create as make  # here, because only a new store needs it

        make(path, group_access=group_access)
    elif path != MEMORY and not read_only:
        if unwritable := files.why_unwritable(path):
            if create:
                raise unwritable
            read_only = True
        else:
            files.tighten(path, files.file_mode(group_access=group_access))
    database = Database(path, read_only=read_only)
    try:
        database.prepare()
    except BaseException:
        database.close()
        raise
    return database


def _postgres(place: PostgresUrl) -> ModuleType:
    try:
        return import_module("bridge.store.postgres")  # here, because a SQLite store does not need the driver
    except ImportError as error:
        how = how_to_install("postgres", "psycopg[binary]>=3.2.13")
        raise ConfigError([f"store {place}: PostgreSQL's driver is missing ({error}): {how}"]) from None


def __getattr__(name: str) -> Any:
    """`Store`, imported when it is first used, because readers do not need it."""
    if name != "Store":
        raise AttributeError(name)
    return import_module("bridge.store.full_store").Store
