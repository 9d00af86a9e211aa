"""Creates the file of a store in SQLite, copies it while it is in use, and restores it while no daemon works on it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bridge.clock import SystemClock
from bridge.errors import StoreBusy, StoreDamaged, UsageError
from bridge.store import files
from bridge.store.lock import DaemonLock, lock_of
from bridge.store.sqlite.database import initialize
from bridge.store.sqlite.failures import BUSY_TIMEOUT_S, understood
from bridge.store.sqlite.inspection import connect, connect_read_only, version_of

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
DRAFT_SUFFIX: Final = ".genbridge-draft"
COPIES_KEPT_S: Final = 7 * 86_400.0
ABANDONED_AFTER_S: Final = 60.0  # a new draft is unlocked for a moment, between its creation and its lock


def create(path: Path, *, group_access: bool) -> None:
    """Make an empty store, 0600 or 0640 regardless of the umask, and its missing directories.

    It appears complete or not at all. If another process was quicker, its store is kept. StoreError when it cannot be
    made.
    """
    files.refuse_old_log(path)
    files.make_directory(path.parent, group_access=group_access)
    with _drafted(path, initialize, mode=files.file_mode(group_access=group_access)) as draft:
        with contextlib.suppress(FileExistsError):
            _publish(draft, path)


def back_up(store: Path, to: Path) -> None:
    """Copy the store at one instant to a new file (0600), while the daemon and commands continue.

    The name appears when the copy is complete and on disk. UsageError if the file exists, StoreError if it cannot be
    written. StoreDamaged if the store is damaged.
    """
    taken = UsageError(f"{to} exists already: name another file, or remove it first")
    if os.path.lexists(to):
        raise taken
    files.refuse_old_log(to)
    version_of(store)
    with _drafted(to, lambda draft: _copy(store, draft), mode=0o600) as draft:
        version_of(draft, whole=True, copied=store)
        try:
            _publish(draft, to)
        except FileExistsError:
            raise taken from None


def copy_before_upgrade(store: Path, version: int) -> None:
    """Copy a store of this version beside itself, as a backup that `genbridge restore` takes.

    A copy of the same store stays: a failed upgrade made it. An older one, from before somebody went back to the older
    version, is replaced. StoreError when no copy can be made.
    """
    copy = store.with_name(f"{store.name}.before-upgrade-from-{version}")
    changed_at = max(file.stat().st_mtime_ns for file in (store, files.beside(store)[0]) if file.exists())
    if copy.is_file() and copy.stat().st_mtime_ns >= changed_at:
        return
    with _drafted(copy, lambda draft: _copy(store, draft), mode=0o600) as draft:
        if version_of(draft, whole=True) == version:  # otherwise, another process has upgraded the store meanwhile
            draft.replace(copy)
            files.sync_directory(copy.parent)


def remove_old_copies(store: Path) -> None:
    """Remove the copies before upgrades that are older than a week, and those that a kill left incomplete."""
    _remove_abandoned(store.parent)
    for copy in store.parent.glob(f"{store.name}.before-upgrade-from-*"):
        with contextlib.suppress(OSError):
            if SystemClock().now() - copy.stat().st_mtime > COPIES_KEPT_S:
                copy.unlink()


def restore(
    backup: Path, store: Path, *, force: bool, group_access: bool, prepare: Callable[[], None] = lambda: None
) -> None:
    """Replace a store with a backup, which gets the store's owner and mode.

    The backup is checked first, before anything changes: StoreDamaged when it is damaged, belongs to another program,
    or is of a newer version. Then `prepare` is called, to make the store's folder. StoreBusy while a daemon works on
    the store. UsageError when there is a store and not `force`, or no such backup.
    """
    if not files.exists(backup):
        raise UsageError(f"file {backup} does not exist")
    with contextlib.suppress(OSError):
        if backup.samefile(store):
            raise UsageError(f"{backup} is the store itself; name a backup")
    try:
        version_of(backup, whole=True)
    except StoreDamaged as error:
        advice = "name another backup" if error.advice else ""
        raise StoreDamaged(f"nothing was restored: {error.finding}", advice) from None
    prepare()
    store = Path(os.path.realpath(store))
    before = store.stat() if files.exists(store) else None
    if before is not None and not force and DaemonLock.holder(store) is None:
        raise UsageError(f"store {store} already exists: --force replaces it, and its contents are lost")
    with DaemonLock(store, group_access=group_access):
        mode = files.file_mode(group_access=group_access) if before is None else before.st_mode & 0o777
        with _drafted(store, lambda draft: _copy(backup, draft), mode=mode) as draft:
            if os.geteuid() == 0:  # the owner of the former store
                owner = before or store.parent.stat()
                os.chown(draft, owner.st_uid, owner.st_gid)
            if before is not None:
                _let_go_of(store)
            for file in files.beside(store):  # SQLite would apply the log of another store to this one
                file.unlink(missing_ok=True)
            draft.replace(store)
            files.sync_directory(store.parent)


@contextmanager
def _drafted(beside: Path, write: Callable[[Path], None], *, mode: int) -> Iterator[Path]:
    """A file in the folder of `beside`, written by `write` and synced. It is deleted at the end of the block."""
    try:
        _remove_abandoned(beside.parent)
        handle, name = tempfile.mkstemp(prefix=f".{beside.name[:100]}.", suffix=DRAFT_SUFFIX, dir=beside.parent)
        draft = Path(name)
        try:
            _lock(handle)
            os.fchmod(handle, mode)
            write(draft)
            os.fsync(handle)
            yield draft
        finally:
            os.close(handle)
            _remove(draft)
    except OSError as error:
        raise files.os_error(error, beside) from None
    except sqlite3.Error as error:
        raise understood(error, beside) from error


def _publish(draft: Path, path: Path) -> None:
    """Give a draft its name, and sync it. FileExistsError if a file has this name: unlike a link, a rename replaces
    it."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        path.hardlink_to(draft)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        fcntl.flock(folder, fcntl.LOCK_EX)  # other processes that do the same wait
        if os.path.lexists(path):
            raise FileExistsError from None
        draft.rename(path)
    finally:
        os.fsync(folder)
        os.close(folder)


def _remove_abandoned(folder: Path) -> None:
    """Remove the drafts of copies that were killed: those that no process has locked."""
    for draft in folder.glob(f".*{DRAFT_SUFFIX}"):
        with contextlib.suppress(OSError):
            handle = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if SystemClock().now() - os.fstat(handle).st_mtime > ABANDONED_AFTER_S and _lock(handle):
                    _remove(draft)
            finally:
                os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock of a draft; False when another process has it, or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(draft: Path) -> None:
    for file in (draft.with_name(f"{draft.name}-journal"), *files.beside(draft), draft):
        file.unlink(missing_ok=True)


def _copy(source: Path, draft: Path) -> None:
    # A daemon may start during the copy, so a live store needs a connection that takes locks. A backup needs no locks,
    # and SQLite must not create files in its folder.
    is_live = files.why_unwritable(source) is None and lock_of(source).exists()
    how = connect(source, "mode=rw") if is_live else connect_read_only(source)[0]
    with closing(how) as origin, closing(connect(draft, "mode=rw")) as to:
        try:
            origin.execute("BEGIN")  # the whole copy shows one state of the store
            origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
            origin.backup(to)
        except sqlite3.Error as error:
            if to.in_transaction or isinstance(understood(error, source), StoreDamaged):
                raise understood(error, source) from error
            raise
        to.execute("PRAGMA journal_mode = DELETE")  # one file, without a log


def _let_go_of(store: Path) -> None:
    """Write the log of the old store into its file, and make sure that no command has the store open: later changes of
    such a command would be lost.

    A damaged store is replaced without this.
    """
    try:
        with closing(connect(store, "mode=rw")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        meaning = understood(error, store)
        if not isinstance(meaning, StoreDamaged):
            what = f"store {store}: another command has had it open for {BUSY_TIMEOUT_S:g} s; try again later"
            raise StoreBusy(what) from error
