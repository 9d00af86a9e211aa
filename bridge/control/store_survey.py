"""What `genbridge run` would find at the location of its store. Creates, migrates and locks nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from bridge.archive.folder import nearest_existing
from bridge.store import StorePlace, files, usable_version
from bridge.store.lock import DaemonLock, lock_of
from bridge.store.sqlite.inspection import LATEST, version_of


class Survey(NamedTuple):
    """What is at a location, in words. `is_older`: a store of an older version. `is_held`: a daemon works on it."""

    seen: str
    is_older: bool = False
    is_held: bool = False


def survey(place: StorePlace) -> Survey:
    """Describe what is at this location. Raises the errors of `open_store` if a daemon could not work there."""
    if not isinstance(place, Path):
        version, latest = usable_version(place)
        if version == 0:
            return Survey(f"{place} has no tables yet: will be created by `genbridge run`")
        return _survey_of(str(place), version, latest)
    if not files.exists(place):
        _check_creatable(place)
        return Survey(f"{place} does not exist yet: will be created by `genbridge run`")
    lock = lock_of(place)
    if unwritable := files.why_unwritable(place):
        raise unwritable
    if lock.exists() and not os.access(lock, os.R_OK | os.W_OK, effective_ids=True):
        raise files.no_permission(lock)
    version = version_of(place, whole=True)
    holder = DaemonLock.holder(place)
    found = _survey_of(f"{place}{f' (in use by {holder})' if holder else ''}", version, LATEST)
    return found._replace(is_held=holder is not None)


def _survey_of(seen: str, version: int, latest: int) -> Survey:
    if version == latest:
        return Survey(seen)
    return Survey(f"{seen}: version {version}; `genbridge run` will upgrade it to version {latest}", is_older=True)


def _check_creatable(path: Path) -> None:
    files.refuse_old_log(path)
    folder = nearest_existing(Path(os.path.realpath(path)).parent)
    if not folder.is_dir():
        raise files.os_error(NotADirectoryError(errno.ENOTDIR, ""), path)
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise files.os_error(OSError(errno.EROFS, ""), path)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise files.no_permission(path, to="create")
