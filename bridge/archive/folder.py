"""An archive in a folder."""

from __future__ import annotations

import errno
import filecmp
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from bridge.archive.place import PlaceFailed, StoredFile

PARTIAL: Final = ".partial"  # the folder of unfinished files, in the archive
FOLDER_MODE: Final = 0o750
FILE_MODE: Final = 0o640
_LEVELS: Final = tuple(map(re.compile, (r"\d{4}\Z", r"\d\d\Z", r"\d\d\Z", r"[^.]")))  # year, month, day, account
NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def nearest_existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists and that this user can reach."""
    return next((each for each in (folder, *folder.parents) if os.access(each, os.F_OK, effective_ids=True)), folder)


class Folder:
    """`Place` in a folder of this machine, which may be a network share. It is created when it is needed."""

    def __init__(self, root: Path) -> None:
        self.root: Final = root
        self.partial: Final = root / PARTIAL

    def read(self, path: str) -> bytes | None:
        target = self.root / path
        with _reported(self.root), suppress(FileNotFoundError):
            return target.read_bytes() if target.is_file() else None
        return None

    def create(self, path: str, content: bytes) -> bool:
        with _reported(self.root):
            with self._aside(content) as aside:
                return self._move_in(aside, path)

    def replace(self, path: str, content: bytes) -> None:
        with _reported(self.root):
            target = self._target(path)
            with self._aside(content) as aside:
                aside.rename(target)
                sync_folder(target.parent)

    def put(self, path: str, source: Path, *, media_type: str) -> bool:
        with _reported(self.root):
            if self._move_in(source, path):
                return True
            with suppress(FileNotFoundError):  # a link that leads nowhere
                return filecmp.cmp(source, self.root / path, shallow=False)
            return False

    def size(self, path: str) -> int | None:
        with _reported(self.root), suppress(FileNotFoundError):
            return (self.root / path).stat().st_size
        return None

    def entries(self) -> Iterator[StoredFile]:
        with _reported(self.root):
            for folder, names, files in os.walk(self.root):
                below = os.path.relpath(folder, self.root)
                depth = 0 if below == os.curdir else below.count(os.sep) + 1
                if depth < len(_LEVELS):
                    names[:] = [name for name in names if _LEVELS[depth].match(name)]
                    continue
                names.clear()
                for file in files:  # strings, because a `Path` for each file would double the time
                    with suppress(FileNotFoundError):
                        seen = os.lstat(f"{folder}/{file}")
                        yield StoredFile(f"{below}/{file}", seen.st_size, seen.st_mtime)

    def delete(self, path: str) -> None:
        """See `Place.delete`. Folders that become empty are deleted, too."""
        with _reported(self.root):
            target = self.root / path
            target.unlink(missing_ok=True)
            with suppress(OSError):
                for folder in target.parents:
                    if folder == self.root:
                        break
                    folder.rmdir()

    def _target(self, path: str) -> Path:
        target = self.root / path
        make_folder(target.parent)
        return target

    @contextmanager
    def _aside(self, content: bytes) -> Iterator[Path]:
        """A temporary file with this content, on disk. It is removed if it was not moved."""
        make_folder(self.partial)
        aside = self.partial / f"{uuid4().hex}.tmp"
        try:
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield aside
        finally:
            aside.unlink(missing_ok=True)

    def _move_in(self, source: Path, path: str) -> bool:
        """Give a complete file its final name, unless that is taken."""
        target = self._target(path)
        try:
            os.link(source, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if os.path.lexists(target):  # for a file system without links, such as exFAT
                return False
            source.rename(target)
        sync_folder(target.parent)
        source.unlink(missing_ok=True)
        return True


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, each synced."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder, if the file system supports it."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _reported(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlaceFailed(f"{root}: {error.strerror or error}") from error
