"""The embedded store. One object for all slices, one file for each, so that none outgrows a reader:

watches, commits, outbox,
durations, shares           the slices of `ports`, for the engine; of the shares all are this daemon's
views, asks                 the slices of `store.views`, for the commands
retention                   what goes when it has been kept long enough
moving                      a whole store out or in
part                        what those eight share
database                    connection and transactions; inspection and failures are its eyes and its tongue
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge.ports import Clock
from bridge.store.sqlite.asks import AsksPart
from bridge.store.sqlite.commits import CommitsPart
from bridge.store.sqlite.durations import DurationsPart
from bridge.store.sqlite.moving import MovingPart
from bridge.store.sqlite.outbox import OutboxPart
from bridge.store.sqlite.retention import RetentionPart
from bridge.store.sqlite.shares import SharesPart
from bridge.store.sqlite.views import ViewsPart
from bridge.store.sqlite.watches import WatchesPart


class SqliteStore(
    WatchesPart,
    CommitsPart,
    OutboxPart,
    DurationsPart,
    SharesPart,
    ViewsPart,
    AsksPart,
    RetentionPart,
    MovingPart,
):
    """A store in one SQLite file, for one daemon and any number of commands beside it.

    Calls block and come one at a time (`Offload`); only `is_syncing` may be asked meanwhile. Every
    method is one transaction, on disk when it returns, or not done at all when it raises.
    """

    is_shared: Final = False
    look_every_s: Final = 0.3  # for news
    notes_every_s: Final = 1.0

    @property
    def path(self) -> Path:
        return self._database.path

    def ahead_s(self, clock: Clock) -> float:
        """See `whole.Store.ahead_s`. It has one daemon."""
        return 0.0

    def give_up(self) -> None:
        """See `whole.Store.give_up`. A disk answers, or nothing helps."""

    def close(self) -> None:
        """Let go of the file. A later call would open it again."""
        self._database.close()
