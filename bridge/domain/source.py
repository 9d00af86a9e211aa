"""The counts and problems of a source, for `genbridge status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DISCOVER: Final = "discover:"  # before the account, in the name of a source that reads the provider's list


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One source of one daemon, as stored. Instants are wall time.

    `taken` and `rejected` count tasks: those of the last reading of a watchlist, else all since the store was created.
    """

    daemon: str  # its name on a shared store, else empty
    source: str  # queue, watchlist, lines, or discover:ACCOUNT, which has no path
    path: str
    read_at: float | None = None
    taken: int = 0
    rejected: int = 0
    left_alone: int = 0  # files in the folder whose names exclude them
    error: str | None = None  # the last one
    error_at: float | None = None
    is_failing: bool = False  # it cannot be read now
    note: str | None = None  # a fact to show


@dataclass(slots=True)
class SourceTally:
    """The counts and problems of one source since it was created. The source updates it; the daemon stores it about
    once a second."""

    source: str
    path: str
    is_listing: bool = False  # each reading lists all its tasks
    read_at: float | None = None
    taken: int = 0
    rejected: int = 0
    left_alone: int = 0
    error: str | None = None
    error_at: float | None = None
    is_failing: bool = False
    note: str | None = None

    def looked(self, now: float) -> None:
        """It could be read."""
        self.read_at, self.is_failing = now, False

    def failed(self, reason: str, now: float) -> None:
        """It could not be read."""
        self.error, self.error_at, self.is_failing = reason, now, True

    def refused(self, tasks: int, reason: str, now: float) -> None:
        """`tasks` more tasks were refused; `reason` is the first problem."""
        self.rejected += tasks
        self.error, self.error_at = reason, now

    def facts(self, daemon: str, before: SourceFacts | None) -> SourceFacts:
        """What to store, given what was stored `before` this source was created."""
        old = before or SourceFacts(daemon=daemon, source=self.source, path=self.path)
        return SourceFacts(
            daemon=daemon,
            source=self.source,
            path=self.path,
            read_at=self.read_at or old.read_at,
            taken=self.taken + (0 if self.is_listing else old.taken),
            rejected=self.rejected + (0 if self.is_listing else old.rejected),
            left_alone=self.left_alone,
            error=self.error or old.error,
            error_at=self.error_at or old.error_at,
            is_failing=self.is_failing,
            note=self.note,
        )
