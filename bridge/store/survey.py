"""What `genbridge run` would find at the place of its store. Creates, migrates and locks nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from bridge.store import files
from bridge.store.lock import DaemonLock, lock_of
from bridge.store.sqlite.inspection import LATEST, version_of


class Survey(NamedTuple):
    """What is at a place, in words, and whether it is a store of an older version."""

    seen: str
    is_older: bool = False


def survey_file(path: Path) -> Survey:
    """What is at this path. Raises the errors of `open_store` when a daemon could not work there."""
    if not files.exists(path):
        _check_creatable(path)
        return Survey(f"{path} does not exist yet: will be created by `genbridge run`")
    lock = lock_of(path)
    if unwritable := files.why_unwritable(path):
        raise unwritable
    if lock.exists() and not os.access(lock, os.R_OK | os.W_OK, effective_ids=True):
        raise files.no_permission(lock)
    version = version_of(path, whole=True)
    holder = DaemonLock.holder(path)
    return survey_of(f"{path}{f' (in use by {holder})' if holder else ''}", version, LATEST)


def survey_of(seen: str, version: int, latest: int) -> Survey:
    """A store of this version, and whether it will be upgraded."""
    if version == latest:
        return Survey(seen)
    return Survey(f"{seen}: of version {version}, `genbridge run` will bring it to version {latest}", is_older=True)


def _check_creatable(path: Path) -> None:
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise files.os_error(NotADirectoryError(errno.ENOTDIR, ""), path)
    system = os.statvfs(folder)
    if system.f_flag & os.ST_RDONLY:
        raise files.os_error(OSError(errno.EROFS, ""), path)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise files.no_permission(path, to="create")
    if system.f_blocks == 0 and not _takes_files(folder):  # /proc and /sys ignore permissions
        raise files.uncreatable(folder / path.name)


def _takes_files(folder: Path) -> bool:
    """Whether a file can be created there, tried with a file that never gets a name."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        return False
    return True
