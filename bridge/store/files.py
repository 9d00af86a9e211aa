"""The store's files on disk: their modes, and errors about them."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bridge.errors import StoreDamaged, StoreError

_DISK_FULL: Final = "the disk is full; free some space"
_MEANINGS: Final = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EROFS: "the file system is mounted read-only; remount it, or name another path",
}


def file_mode(*, group_access: bool) -> int:
    """0600 for a single user; 0640 when the service's group may read it."""
    return 0o640 if group_access else 0o600


def make_directory(path: Path, *, group_access: bool) -> None:
    """Make a directory and its missing parents, 0700 or 0750 regardless of the umask. An existing one keeps its mode.

    StoreError when it cannot be made.
    """
    missing = []
    try:
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o750 if group_access else 0o700)
    except OSError as error:
        raise os_error(error, missing[0] if missing else path) from None


def exists(path: Path) -> bool:
    """Whether there is a store at `path`. Raises the errors of `inode`."""
    return inode(path) is not None


def inode(path: Path) -> int | None:
    """The inode of the file at this path; None if there is no file. StoreError if the path cannot be read, StoreDamaged
    if it is not a file."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(error, path) from None
    if not stat.S_ISREG(seen.st_mode):
        raise StoreDamaged(f"store {path} is not a regular file; name another path, or move it away")
    return seen.st_ino


def vanished(path: Path) -> StoreError:
    return StoreError(f"store {path} is missing; put it back, or restart genbridge to create a new one")


def tighten(path: Path, mode: int) -> None:
    """Remove permissions beyond `mode` from those files of the store that we own. (A restored copy is often 0644.)"""
    for file in (path, *beside(path)):
        try:
            seen = file.stat()
            if seen.st_uid == os.geteuid() and stat.S_IMODE(seen.st_mode) & ~mode:
                file.chmod(stat.S_IMODE(seen.st_mode) & mode)
        except OSError:
            continue  # it does not exist, or the file system has no modes: then the directory's mode protects it


def beside(path: Path) -> tuple[Path, Path]:
    """The files SQLite keeps beside a store: its write-ahead log and that log's index."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def refuse_old_log(path: Path) -> None:
    """StoreError if `path` does not exist, but the log of an earlier file does: SQLite would apply it to a new one."""
    log = beside(path)[0]
    if os.path.lexists(log) and not os.path.lexists(path):  # in this order: another process may be making the store now
        raise StoreError(f"store {path} is missing, but {log} is there: put the store back, or move this file away")


def sync_directory(path: Path) -> None:
    """Make a new name in a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def os_error(error: OSError, path: Path) -> StoreError:
    """What an operating system's error about the store's file means, and how to fix it."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return no_permission(path)
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        file = next((each for each in path.parents if each.is_file()), path)
        return StoreError(f"store {path}: {file} is a file, not a directory; name another path")
    if error.errno == errno.ENOENT and path.parent.is_dir():
        return StoreError(f"store {path}: no file can be created in {path.parent}; name another path")
    if error.errno == errno.ENOENT:
        return StoreError(f"store {path}: there is no directory {path.parent}; make it, or name another path")
    meaning = _MEANINGS.get(error.errno or 0, f"{error.strerror or error}; check the path and the disk")
    return StoreError(f"store {path}: {meaning}")


def why_unwritable(path: Path) -> StoreError | None:
    """Why we cannot write this store and the files beside it, or None when we can."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return os_error(OSError(errno.EROFS, ""), path)
    if all(os.access(place, os.W_OK, effective_ids=True) for place in (path, path.parent)):
        return None
    return no_permission(path, to="write")


def no_permission(path: Path, *, to: str = "open") -> StoreError:
    """Names the user who owns the store."""
    user, group = _owner(path)
    if _is_anothers_in_our_folder(path):
        ours = _user(os.geteuid())
        return StoreError(f"store {path}: it belongs to {user}, its folder to {ours}; chown {ours}: {path}* as root")
    if user == _user(os.geteuid()):
        mine = "although it is yours; check its mode and those of its directories, or name another path"
        return StoreError(f"store {path}: no permission to {to} it, {mine}")
    return StoreError(
        f"store {path}: no permission to {to} it; run this as user {user} (sudo -u {shlex.quote(user)} ...)"
        + ("" if to == "write" else ", or name another path" if group == "root" else f", or join the group {group}")
    )


def _is_anothers_in_our_folder(path: Path) -> bool:
    """Whether another user owns the file, although the directory is ours. This happens after root has run a command."""
    try:
        return path.parent.stat().st_uid == os.geteuid() != path.stat().st_uid
    except OSError:
        return False


def _owner(path: Path) -> tuple[str, str]:
    for place in (path, *path.parents):
        try:
            seen = place.stat()
        except OSError:
            continue  # in a directory that we may not enter: use the owner of that directory
        return _user(seen.st_uid), _name(grp.getgrgid, seen.st_gid)
    return "root", "root"


def _user(uid: int) -> str:
    return _name(pwd.getpwuid, uid)


def _name(look_up: Callable[[int], Any], number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return f"#{number}"
