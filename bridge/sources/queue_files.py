"""The files in the queue folder, and how long each has been unchanged."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from bridge.sources.rejects import FOLDER
from bridge.sources.task_files import MAX_FILE_BYTES, SMALL_BYTES, SUFFIXES

SETTLE_S: Final = 0.5  # a file is complete if it has not changed for this time, and is not open for writing
UNSEEN_S: Final = 3.0  # the same, if the system cannot show whether a program has it open
QUIET_S: Final = 10.0  # after this time, a file that seems incomplete is taken anyway
TAKEN: Final = ".taken-"  # prefix of files that have been read and will be removed

_INCOMPLETE: Final = (".tmp", ".part", ".filepart", "~")


class FileState(NamedTuple):
    """The values that differ if a file has changed."""

    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileState:
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(slots=True)
class QueueFile:
    """One entry of the folder. Times are `Clock.steady`."""

    name: str
    state: FileState
    mode: int
    since_at: float  # when it last changed
    settle_s: float | None = None  # from the settings
    wait_until_at: float = 0.0  # because it is open for writing, or may be
    retry_at: float = 0.0  # because the system refused to move or remove it
    is_reported: bool = False  # the log has reported that it stays in the folder
    failures: int = 0  # number of failures of the process that reads it
    is_rest_kept: bool = False  # its invalid tasks are already in `rejected/`
    is_committed: bool = False  # its tasks in this state are committed, but it could not be moved or removed
    is_read: bool = False  # read in this state, and nothing of it remains to be committed or kept

    @property
    def suffix(self) -> str:
        return PurePath(self.name).suffix.lower()

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_large(self) -> bool:
        """Whether reading it may delay other files."""
        return self.is_regular and SMALL_BYTES < self.state.size_bytes <= MAX_FILE_BYTES and not self.is_read

    @property
    def is_left_alone(self) -> bool:
        """Whether its name shows that it is not a task file: it is hidden, incomplete, or has an unknown suffix."""
        return not self.is_retired and _is_left_alone(self.name, is_regular=self.is_regular)

    @property
    def is_retired(self) -> bool:
        """Whether it has been renamed, so that no other program opens it."""
        return self.name.startswith(TAKEN)

    @property
    def retired_name(self) -> str:
        """A name that no other file has."""
        return self.name if self.is_retired else f"{TAKEN}{self.state.inode}{PurePath(self.name).suffix[:8]}"

    @property
    def is_stuck(self) -> bool:
        return self.retry_at > 0.0

    @property
    def ready_at(self) -> float:
        """When it may be taken if it does not change until then."""
        is_empty = self.is_regular and self.state.size_bytes == 0
        settle_s = SETTLE_S if self.settle_s is None else self.settle_s
        settled_at = self.since_at + (max(QUIET_S, settle_s) if is_empty else settle_s)
        return max(settled_at, self.wait_until_at, self.retry_at)

    @property
    def surely_written_at(self) -> float:
        """The same if the system cannot show whether a program has it open."""
        return self.since_at + (UNSEEN_S if self.settle_s is None else self.settle_s)

    @property
    def quiet_at(self) -> float:
        """When it is taken although it seems incomplete."""
        return self.since_at + QUIET_S


def takes(folder: Path, path: Path) -> bool:
    """Whether a queue in `folder` would remove this file of genbridge's own, or the folder above it."""
    inside, own = Path(os.path.realpath(folder)), Path(os.path.realpath(path.parent), path.name)
    if inside not in own.parents:
        return False
    name, *below = own.relative_to(inside).parts
    return name != FOLDER and not _is_left_alone(name, is_regular=not below)


def _is_left_alone(name: str, *, is_regular: bool) -> bool:
    if name.startswith(".") or name.endswith(_INCOMPLETE):
        return True
    return is_regular and PurePath(name).suffix.lower() not in SUFFIXES


def scan(
    folder: Path, before: dict[str, QueueFile], *, now: float, settle_s: float | None = None
) -> dict[str, QueueFile]:
    """The current entries. An entry that has not changed since `before` keeps its known facts."""
    present: dict[str, QueueFile] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == FOLDER:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            state, known = FileState.of(found), before.get(entry.name)
            if known is None or known.state != state:
                known = QueueFile(entry.name, state, found.st_mode, now, settle_s)
            present[entry.name] = known
    return present
