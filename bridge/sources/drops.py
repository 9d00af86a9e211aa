"""What lies in the drop folder, and since when it has lain there unchanged."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from bridge.sources.forms import SUFFIXES
from bridge.sources.rejects import FOLDER

SETTLE_S: Final = 0.5  # size and mtime unchanged for so long: nobody is writing any more
EMPTY_S: Final = 10.0  # an empty file may be a slow writer's

_UNFINISHED: Final = (".tmp", ".part", "~")


class Mark(NamedTuple):
    """What tells one state of a file from the next."""

    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Mark:
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(slots=True)
class Drop:
    """One thing in the folder. Instants are `Clock.steady`."""

    name: str
    mark: Mark
    mode: int
    since_at: float  # it has been as it is
    not_before_at: float = 0.0  # the system refused to have it moved or removed: the next try
    is_told: bool = False  # a person has been told that it stays
    is_rest_kept: bool = False  # its bad tasks lie in `rejected/` already

    @property
    def suffix(self) -> str:
        return PurePath(self.name).suffix.lower()

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_left_alone(self) -> bool:
        """Whether its name says that it is no task: hidden, unfinished, or of no form we read. What is not even a
        file is none of these three by its suffix."""
        if self.name.startswith(".") or self.name.endswith(_UNFINISHED):
            return True
        return self.is_regular and self.suffix not in SUFFIXES

    @property
    def is_stuck(self) -> bool:
        return self.not_before_at > 0.0

    @property
    def ready_at(self) -> float:
        """When it may be taken if it stays as it is."""
        is_empty = self.is_regular and self.mark.size_bytes == 0
        return max(self.since_at + (EMPTY_S if is_empty else SETTLE_S), self.not_before_at)


def scan(folder: Path, before: dict[str, Drop], *, now: float) -> dict[str, Drop]:
    """What is there now; things that have not changed since `before` keep what is known of them."""
    present: dict[str, Drop] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == FOLDER:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            mark, known = Mark.of(found), before.get(entry.name)
            is_same = known is not None and known.mark == mark
            present[entry.name] = known if known and is_same else Drop(entry.name, mark, found.st_mode, now)
    return present
