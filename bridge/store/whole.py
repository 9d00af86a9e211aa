"""A whole store, as the app and the commands hold it: every slice in one object."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from bridge.ports import Clock, Commits, Durations, Newsworthy, Outbox, Shares, Watches
from bridge.store.tables import Contents
from bridge.store.views import Asks, Views


class Store(Watches, Commits, Outbox, Durations, Shares, Newsworthy, Views, Asks, Protocol):
    """All slices, and what only the owner of a store asks of it. One contract suite holds."""

    @property
    def notes_every_s(self) -> float:
        """How often the poller's notes are best written."""

    @property
    def is_shared(self) -> bool:
        """Whether several daemons may work on it."""

    @property
    def look_every_s(self) -> float:
        """How often to look for news."""

    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        """Delete what was settled or ended longer ago than so many seconds; returns how many rows went, at most
        `limit`."""

    def contents(self) -> AbstractContextManager[Contents]:
        """All of the store at one instant. Until the end of the block nobody else writes to it."""

    def fill(self, contents: Contents) -> Mapping[str, int]:
        """Take over all of another store, in one transaction; says how many rows of each table. StoreError when this
        one is not empty, or not every row has arrived."""

    def ahead_s(self, clock: Clock) -> float:
        """How far the clock that this store's daemons have in common is ahead of this one; 0 when they agree."""

    def ping(self) -> None:
        """Return when the store answers; StoreError is an answer too."""

    def is_syncing(self) -> bool:
        """Whether disk or server are being waited for right now. To be asked from another thread: waits for nothing."""

    def give_up(self) -> None:
        """Wait no longer for a server that does not answer: calls that are under way raise StoreError. To be asked from
        another thread."""

    def close(self) -> None:
        """Let go of files and connections. A later call would open them again."""
