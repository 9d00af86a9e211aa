"""The counts and problems of a source, for `genbridge status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

DISCOVER: Final = "discover:"  # prefix of the account, in the name of a source that reads the provider's list
SETTINGS: Final = "settings"  # the settings file: it names no tasks, but is read, and may be invalid, like a source


class SourceKind(StrEnum):
    """The sources in files, by their keys under `sources` in the settings. The store has them under these names."""

    WATCHLIST = "watchlist"  # a file that lists all its tasks
    QUEUE = "queue"  # a folder whose files are taken
    LINES = "lines"  # a file to which others append


def origin(source: str, daemon: str, path: str) -> str:
    """The name of a source on a shared store: with its daemon and file."""
    return f"{source}@{daemon}:{path}"


def kind_of(named: str) -> str:
    """The source in this name, without its daemon and file."""
    return named.partition("@")[0]


@dataclass(slots=True, kw_only=True)
class SourceFacts:
    """The state of one source of one daemon, as stored. Times are wall time.

    `taken` and `rejected` count tasks: for a watchlist those of the last reading, for other sources all since the store
    was created.
    """

    daemon: str = ""  # its name on a shared store, otherwise empty
    source: str  # a `SourceKind`, or discover:ACCOUNT, which has no path
    path: str
    read_at: float | None = None
    taken: int = 0
    rejected: int = 0
    left_alone: int = 0  # files in the folder that are ignored because of their names
    error: str | None = None  # the last error
    error_at: float | None = None
    is_failing: bool = False  # it cannot be read now
    note: str | None = None  # a remark for `status`

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the source in the store."""
        return self.daemon, self.source, self.path


@dataclass(slots=True, kw_only=True)
class SourceTally(SourceFacts):
    """The facts of one source since the daemon started it. The source updates them; the daemon stores them about once a
    second."""

    is_listing: bool = False  # each reading lists all tasks of the source
    is_waiting: bool = False  # for what it reads, which does not exist; `note` says so

    def looked(self, now: float) -> None:
        """Count a successful reading. If it lists all tasks and has no mistake, the earlier errors are over."""
        self.read_at, self.is_failing = now, False
        self._end_wait()
        if self.is_listing and not self.rejected:
            self.error = self.error_at = None

    def waits(self, note: str) -> None:
        """Note that what it reads does not exist, which is no failure."""
        self.note, self.is_waiting, self.is_failing = note, True, False

    def failed(self, reason: str, now: float) -> None:
        """Count a failed reading."""
        self.error, self.error_at, self.is_failing = reason, now, True
        self._end_wait()

    def _end_wait(self) -> None:
        if self.is_waiting:
            self.note, self.is_waiting = None, False

    def invalid(self, mistakes: Sequence[str], now: float) -> None:
        """It was read, but has these mistakes. While it stays so, `error_at` is when it was first seen to be invalid,
        and `rejected` the number of mistakes."""
        self.error_at = self.error_at if self.is_failing else now
        self.error, self.rejected, self.is_failing = mistakes[0], len(mistakes), True

    def refused(self, tasks: int, reason: str, now: float) -> None:
        """Count `tasks` more rejected tasks; `reason` is the first problem."""
        self.rejected += tasks
        self.error, self.error_at = reason, now

    def resume(self, before: SourceFacts) -> None:
        """Continue the counts that were stored before the daemon started this source."""
        if not self.is_listing:
            self.taken += before.taken
            self.rejected += before.rejected
        self.read_at = self.read_at or before.read_at
        self.error, self.error_at = self.error or before.error, self.error_at or before.error_at

    def facts(self) -> SourceFacts:
        return SourceFacts(**{field.name: getattr(self, field.name) for field in fields(SourceFacts)})
