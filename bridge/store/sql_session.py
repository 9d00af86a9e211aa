"""What both engines offer: sessions, which run statements, and transactions, which give sessions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from bridge.store.rows import Row
from bridge.store.statements import Statement

if TYPE_CHECKING:
    from bridge.domain.page_views import StoreSpace
    from bridge.domain.slots import Share
    from bridge.ports import Clock, News

WORK, OUTBOX, MEMBERS, ENDS = "work", "outbox", "members", "ends"
"""The reasons to wake a daemon: the fields of `ports.News`."""


class Finder(Protocol):
    """Runs statements that find rows."""

    def find(self, statement: str, **values: object) -> list[Row]:
        """Run the statement; returns the rows that it finds or returns."""


class Session(Finder, Protocol):
    """One transaction of a store."""

    def execute(self, statement: str, **values: object) -> int:
        """Run the statement; returns the number of changed rows."""

    def run(self, statement: Statement, rows: Collection[Row]) -> list[Row]:
        """Run the statement for all these rows, if any; returns the rows that it finds or returns."""

    def stream(self, statement: str) -> Iterator[Row]:
        """Run the statement; yields its rows, fetched in small groups."""

    def load(self, table: str, rows: Iterable[Row]) -> int:
        """Insert rows with the columns of `TABLES` and then those that PostgreSQL alone has. Returns their number."""

    def without_timeout(self) -> AbstractContextManager[None]:
        """Within the block a statement may take an hour."""

    def guard(self) -> None:
        """LeaseLost if this daemon may no longer commit. No other daemon takes over before this transaction has
        ended."""

    def lock_store(self) -> None:
        """Block other writers of watches until this transaction ends. So revisions become visible in order: a reader
        that has seen one has also seen all before it."""

    def next_revision(self) -> int:
        """The revision of the watches that this transaction touches; wakes other daemons. Call `lock_store` first."""

    def wake(self, what: str) -> None:
        """Wake other daemons for one of the constants above; `WORK` is a change that touches no watch."""


class Transactions(Finder, Protocol):
    """Transactions, each for the statements of one block or for one `find`. Every failure becomes a GenbridgeError."""

    is_shared: bool
    """Whether several daemons may work on the store."""

    look_every_s: float
    """How often to look for news."""

    notes_every_s: float
    """How often the poller should write its notes. Readers may see a poll this much later."""

    @property
    def place(self) -> object:
        """Where the store is. When it is printed, it shows no secret."""

    def read(self) -> AbstractContextManager[Session]:
        """Sees the store at one instant, and writes nothing."""

    def write(self, *, is_small: bool = False) -> AbstractContextManager[Session]:
        """Everything is on disk when the block has ended. If the block raises, nothing is written. `is_small`: each
        statement changes few rows, so their previous values may be kept in memory."""

    def alone(self) -> AbstractContextManager[Session]:
        """Sees the store at one instant and writes nothing. After `lock_store`, other processes do not write either."""

    def write_unsynced(self) -> AbstractContextManager[Session]:
        """The same as `write`, but a crash of the server may undo the last second."""

    def give_back(self) -> None:
        """Free some of the space that retention has emptied."""

    def space(self) -> StoreSpace:
        """How large the store is, and how much room is left on its disk."""

    def news(self) -> News:
        """See `ports.News`."""

    def ahead_s(self, clock: Clock) -> float:
        """How far the clock that this store's daemons share is ahead of this one; 0 when they agree."""

    def is_syncing(self) -> bool:
        """Whether a call waits for the disk or the server right now. Callable from another thread; never blocks."""

    def give_up(self) -> None:
        """Stop waiting for a server that does not answer: calls in progress raise StoreError. Callable from another
        thread."""

    def close(self) -> None:
        """Close files and connections. A later call opens them again."""


class OpenStore:
    """Base of what a store can do."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._held: frozenset[Share] | None = None  # the shares that this daemon is certain to hold; None: all
        self._fingerprints: Mapping[str, str] = {}  # of the endpoints' settings, as last given to `Outbox.disabled`
        self.place, self.is_shared = database.place, database.is_shared
        self.look_every_s, self.notes_every_s = database.look_every_s, database.notes_every_s
        self.space, self.news, self.ahead_s = database.space, database.news, database.ahead_s
        self.is_syncing, self.give_up, self.close = database.is_syncing, database.give_up, database.close

    @contextmanager
    def _locked(self) -> Iterator[Session]:
        """A transaction during which nobody else writes watches; see `Session.lock_store`."""
        with self._database.write() as session:
            session.lock_store()
            yield session
