"""The connection to one SQLite file, and the transactions on it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.errors import StoreDamaged, StoreError
from bridge.store import files
from bridge.store.lock import lock_of
from bridge.store.migrations import migrations, other_version
from bridge.store.rows import Row
from bridge.store.sqlite import failures, inspection
from bridge.store.sqlite.sql_session import SqliteSession

if TYPE_CHECKING:
    from bridge.domain.page_views import StoreSpace
    from bridge.ports import Clock, News

MEMORY: Final = Path(":memory:")
_LOG_PAGES: Final = 128  # 0.5 MB of log: the default of 4 MB would fill a small disk; a burst gets 10 % slower
_VACUUM_PAGES: Final = 1000  # pages freed in one step: 4 MB, which takes a few milliseconds
_LOG_KEPT_BYTES: Final = 16 * 1024 * 1024  # a write-ahead log that a long read let grow shrinks to this again


class Database:
    """One connection for one caller at a time. Every failure becomes a GenbridgeError.

    After an I/O error, a full disk or the like the connection is closed, because its pages may not have reached the
    disk. The next call opens a new one.
    """

    is_shared = False
    look_every_s = 0.3
    notes_every_s = 1.0

    def __init__(self, place: Path, *, read_only: bool) -> None:
        self.place = place
        self.read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._is_for_one_look = False
        self._inodes: dict[Path, int] = {}  # the open file, those that SQLite keeps beside it, and the lock
        self._connections = 0  # number of connections opened so far
        self._is_syncing = False  # a commit is being written to the disk

    def prepare(self) -> None:
        """Check an existing store and upgrade it. Call this once, first."""
        if self.read_only or self.place == MEMORY:
            with self.read():
                return
        with self._failures():
            version = inspection.version_of(self.place, whole=True)
            if 0 < version < inspection.LATEST:
                from bridge.store.sqlite.store_file import copy_before_upgrade  # here, because an upgrade is rare

                copy_before_upgrade(self.place, version)
            self._connected()

    def read(self) -> AbstractContextManager[SqliteSession]:
        return self._begun("BEGIN")

    def find(self, statement: str, **values: object) -> list[Row]:
        with self.read() as session:
            return session.find(statement, **values)

    @contextmanager
    def write(self, *, is_small: bool = False) -> Iterator[SqliteSession]:
        if self.read_only:
            raise files.why_unwritable(self.place) or StoreError(f"store {self.place} was opened read-only")
        # SQLite copies each page before a statement changes it: in a file, which costs as much as the write-ahead log.
        copies = "MEMORY" if is_small else "DEFAULT"
        with self._begun(f"PRAGMA temp_store = {copies}; BEGIN IMMEDIATE") as session:
            yield session
            self._is_syncing = True
            try:
                session.connection.execute("COMMIT")
            finally:
                self._is_syncing = False

    write_unsynced = alone = write  # no other transaction runs at the same time

    def news(self) -> News:
        """See `ports.News`. `work` changes when another connection has committed, and when this one was reopened.

        StoreDamaged when the file was removed or replaced, because everything written to it would be lost. With a
        write-ahead log, SQLite does not check this itself. Without the files beside it, other processes do not see
        what this one writes; without the lock, another daemon may start.
        """
        from bridge.ports import News  # here, because commands do not need it

        with self._failures():
            version: int = self._connected().execute("PRAGMA data_version").fetchone()[0]
            for file, inode in self._inodes.items():
                if files.inode(file) != inode:
                    way_out = "put it back and start again" if file == self.place else "start again"
                    raise StoreDamaged(f"store {file} was removed or replaced while in use; {way_out}")
        return News(work=self._connections << 32 | version)

    def space(self) -> StoreSpace:
        """See `Transactions.space`. Includes the write-ahead log."""
        from bridge.domain.page_views import StoreSpace  # here, because commands do not need it

        if self.place == MEMORY:
            return StoreSpace(0)
        try:
            disk = os.statvfs(self.place)
        except OSError as error:
            raise files.os_error(error, self.place) from None
        size_bytes = sum(file.stat().st_size for file in (self.place, files.beside(self.place)[0]) if file.exists())
        return StoreSpace(size_bytes, disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)

    def ahead_s(self, clock: Clock) -> float:
        return 0.0  # its only daemon runs on this machine

    def is_syncing(self) -> bool:
        return self._is_syncing

    def give_up(self) -> None:
        """Nothing to do: a wait for a disk cannot be canceled."""

    def give_back(self) -> None:
        """See `Transactions.give_back`: removes old copies, and frees unused pages once there are enough to matter."""
        from bridge.store.sqlite.store_file import remove_old_copies  # here, because only a daemon needs it

        if self.place != MEMORY:
            remove_old_copies(self.place)
        with self._failures():
            connection = self._connected()
            if connection.execute("PRAGMA freelist_count").fetchone()[0] > _VACUUM_PAGES:
                # `execute` would free a single page.
                connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES:d})")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # The last connection to close writes the log into the file. If this fails, the next one to open does it.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    @contextmanager
    def _begun(self, how: str) -> Iterator[SqliteSession]:
        """A transaction. It is rolled back unless the block commits it."""
        with self._failures():
            connection = self._connected()
            connection.executescript(how)
            try:
                yield SqliteSession(connection)
            finally:
                # After some failures SQLite has rolled back already; another failure here hides nothing.
                if connection.in_transaction:
                    try:
                        connection.execute("ROLLBACK")
                    except sqlite3.Error:
                        self.close()  # otherwise `executescript` would commit what is left

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if failures.spoils_handle(error) and self.place != MEMORY:
                self.close()
            raise failures.understood(error, self.place) from error
        finally:
            if self._is_for_one_look:
                self.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._connections += 1
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if self.place == MEMORY:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            _mark(connection)
        else:
            inode = files.inode(self.place)
            if inode is None:
                raise files.vanished(self.place)
            self._inodes = {self.place: inode}
            inspection.version_of(self.place)
            how = inspection.connect_read_only(self.place) if self.read_only else None
            connection, self._is_for_one_look = how or (inspection.connect(self.place, "mode=rw"), False)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        if self.place != MEMORY:
            beside = (*files.beside(self.place), lock_of(self.place))
            self._inodes |= {file: inode for file in beside if (inode := files.inode(file)) is not None}
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        # One text that is not UTF-8 must not make the others unreadable.
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > inspection.LATEST or (self.read_only and version < inspection.LATEST):
            raise other_version(self.place, version, inspection.LATEST)
        if self.read_only:
            return
        # One sync of the log for each commit: what has been acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES:d}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES:d}")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal" and self.place != MEMORY:
            problem = "this file system cannot share memory between processes; put the store on a local disk"
            raise StoreError(f"store {self.place}: {problem}")
        migrate(connection, migrations("sqlite"))


def initialize(path: Path) -> None:
    """Make the tables in an empty file."""
    with closing(inspection.connect(path, "mode=rw")) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")
        _mark(connection)
        migrate(connection, migrations("sqlite"))
        # Done before the file gets its final name, so that no crash leaves a rollback journal of the store.
        connection.execute("PRAGMA journal_mode = WAL")


def _mark(connection: sqlite3.Connection) -> None:
    # Before the first table, or it has no effect: pages freed by retention can be given back in small portions.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {inspection.APPLICATION_ID:d}")


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
