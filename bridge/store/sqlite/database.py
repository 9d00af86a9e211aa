"""The connection to one SQLite file: opened when needed, given up after a failure, and the transactions on it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import StoreDamaged, StoreError
from bridge.store import files
from bridge.store.migrate import migrate, migrations
from bridge.store.sqlite import failures, inspection

MEMORY: Final = Path(":memory:")
_LOG_PAGES: Final = 128  # half a megabyte of log: SQLite's own 4 MB would fill a small disk; costs 10 % in a burst
_LOG_KEPT_BYTES: Final = 16 * 1024 * 1024  # a write-ahead log that a long read let grow shrinks to this again


class Database:
    """One connection for one caller at a time. Every failure leaves as an error of ours.

    After an I/O error, a full disk or the like the connection is closed and a new one opened by the next call, so
    that nothing is built on pages of which it is unknown whether they reached the disk.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._is_for_one_look = False
        self._inode: int | None = None  # of the file that is open
        self._connections = 0  # so far
        self.is_syncing = False  # a commit is on its way to the disk

    def prepare(self) -> None:
        """Check the store and bring it up to date: once, before anything else. A new one must have been made."""
        if self.read_only or self.path == MEMORY:
            with self.read():
                return
        with self._failures():
            inspection.inspect(self.path, whole=True)
            self._connected()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the store."""
        with self._failures():
            connection = self._connected()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                _end(connection, "ROLLBACK")
                if self._is_for_one_look:
                    self.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on disk when the block has ended; none of it is when the block raises."""
        if self.read_only:
            raise files.why_unwritable(self.path) or StoreError(f"store {self.path} was opened for reading alone")
        with self._failures():
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                self._commit(connection)
            except BaseException:
                _end(connection, "ROLLBACK")
                raise

    def data_version(self) -> int:
        """A number that changes when another connection has committed (and when this one was opened anew).

        StoreDamaged when the file has lost its name: whatever is written there would be gone with the process. (SQLite
        looks at that itself only where it keeps no write-ahead log.)
        """
        with self._failures():
            version: int = self._connected().execute("PRAGMA data_version").fetchone()[0]
            if self.path != MEMORY and files.inode(self.path) != self._inode:
                raise StoreDamaged(
                    f"store {self.path} was removed or replaced while in use; put it back and start anew"
                )
            if self._is_for_one_look:
                self.close()
        return self._connections << 32 | version

    def vacuum(self, *, pages: int) -> None:
        """Give up to so many unused pages back to the file system, once there are enough to matter."""
        with self._failures():
            connection = self._connected()
            if connection.execute("PRAGMA freelist_count").fetchone()[0] > pages:
                # `execute` would take a single step of it, which is a single page.
                connection.executescript(f"PRAGMA incremental_vacuum({pages:d})")

    def close(self) -> None:
        """Close the connection; the next call opens one again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # The last one to close folds the log into the file. If that fails, the next one to open does it.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _commit(self, connection: sqlite3.Connection) -> None:
        self.is_syncing = True
        try:
            connection.execute("COMMIT")
        finally:
            self.is_syncing = False

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if failures.spoils_handle(error) and self.path != MEMORY:
                self.close()
            raise failures.understood(error, self.path) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._connections += 1
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if self.path == MEMORY:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            _mark(connection)
        else:
            if not files.exists(self.path):
                raise StoreError(f"store {self.path} has vanished; put it back, or start anew to make one")
            inspection.inspect(self.path, whole=False)
            self._inode = files.inode(self.path)
            how = inspection.connect_read_only(self.path) if self.read_only else None
            connection, self._is_for_one_look = how or (inspection.connect(self.path, "mode=rw"), False)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        if self.read_only:
            self._check_current(connection)
            return
        # One sync of the log for each commit: what has been acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES:d}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES:d}")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal" and self.path != MEMORY:
            raise StoreError(
                f"store {self.path}: this file system cannot share memory between processes; "
                "put the store on a local disk"
            )
        inspection.check_version(self.path, connection.execute("PRAGMA user_version").fetchone()[0])
        migrate(connection, migrations("sqlite"))

    def _check_current(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        inspection.check_version(self.path, version)
        if version < inspection.LATEST:
            raise StoreError(
                f"store {self.path} is of an older version; start `genbridge run` once to bring it up to date"
            )


def create(path: Path, *, group_access: bool) -> None:
    """Make a store that holds nothing yet, 0600 or 0640 whatever the umask, its directory too if need be.

    It appears under its name as a whole or not at all. If another process was quicker, its store is kept. StoreError
    when it cannot be made.
    """
    files.make_directory(path.parent, group_access=group_access)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        draft = Path(name)
        try:
            try:
                os.fchmod(handle, files.file_mode(group_access=group_access))
                _draft(draft)
                os.fsync(handle)
            finally:
                os.close(handle)
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
        files.sync_directory(path.parent)
    except OSError as error:
        raise files.os_error(error, path) from None
    except sqlite3.Error as error:
        raise failures.understood(error, path) from error


def _draft(path: Path) -> None:
    connection = inspection.connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode = MEMORY")
        _mark(connection)
        migrate(connection, migrations("sqlite"))
        # Before it gets its name: so no rollback journal is ever needed there, and none can be left by a crash.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _mark(connection: sqlite3.Connection) -> None:
    # Before the first table, or it has no effect: pages freed by retention can be given back in small portions.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {inspection.APPLICATION_ID:d}")


def _end(connection: sqlite3.Connection, how: str) -> None:
    # After some failures SQLite has rolled back already; another failure here hides nothing.
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute(how)
