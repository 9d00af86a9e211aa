"""SQL for both engines: one text for each statement, and the session that runs it.

A statement is plain SQL, plus:

:name             a value
(:name[])         after IN or NOT IN: the values of a list
{new}             the rows of a `Batch`, as a table
{in order}        at the end of an INSERT from `{new}`: in the order of the rows
{sqlite: ...}     for SQLite only
{postgres: ...}   for PostgreSQL only; mostly row locks, as SQLite has one writer at a time
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from bridge.store.rows import Row
from bridge.store.sql_files import SQL
from bridge.store.tables import TABLES

if TYPE_CHECKING:
    from bridge.domain.page_views import StoreSpace
    from bridge.domain.slots import Share
    from bridge.ports import News

WORK, OUTBOX, MEMBERS, ENDS = "work", "outbox", "members", "ends"
"""The reasons to wake a daemon: the fields of `ports.News`."""

LIST: Final = re.compile(r"\b(NOT )?IN \(:(\w+)\[\]\)")
VALUE: Final = re.compile(r"(?<!:):([a-z]\w*)")
_CHOICE: Final = re.compile(r"\{(sqlite|postgres):(.*?)\}", re.DOTALL)


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """A SELECT of these columns that a session fetches in one step. `rest` follows the columns."""

    columns: Sequence[str]
    rest: str


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """A statement for many rows.

    `new` names their columns and types: int, float, text, bool or bytes. With `answer` it is a SELECT of those columns,
    and `sql` follows them.
    """

    new: str
    sql: str
    answer: Sequence[str] = ()

    @property
    def columns(self) -> dict[str, str]:
        """The type of each column of `new`."""
        return dict(column.split() for column in self.new.split(","))


class _Batches(dict[str, Batch]):
    """The statements for many rows, by name as in `SQL`."""

    def __missing__(self, name: str) -> Batch:
        sql = SQL[name]
        new = (column if " " in column else f"{column} {_TYPES[column]}" for column in SQL.new[name])
        self[name] = Batch(", ".join(new), sql, tuple(filter(None, SQL.answer[name])))
        return self[name]


_TYPES: Final = {column: kind for columns in TABLES.values() for column, kind in columns.items()}
BATCH: Final = _Batches()


def question(name: str) -> Question:
    """The one of `SQL` with this name."""
    sql = SQL[name]
    return Question(SQL.answer[name], sql)


class Finder(Protocol):
    """Runs statements that find rows."""

    def find(self, statement: str | Question, **values: object) -> list[Row]:
        """The rows it finds or returns."""


class Session(Finder, Protocol):
    """One transaction of a store."""

    def execute(self, statement: str, **values: object) -> int:
        """Run it; how many rows it has changed."""

    def run(self, batch: Batch, rows: Collection[Row]) -> list[Row]:
        """Run it for all these rows, if any; the rows it finds or returns."""

    def stream(self, statement: str) -> Iterator[Row]:
        """The rows it finds, few at a time."""

    def load(self, table: str, rows: Iterable[Row]) -> int:
        """Insert rows with the columns of `TABLES` and then of `OWN`. Returns how many."""

    def unhurried(self) -> AbstractContextManager[None]:
        """Within the block a statement may take an hour."""

    def guard(self) -> None:
        """LeaseLost unless this daemon may still commit. No other daemon takes over before this transaction has
        ended."""

    def lock_store(self) -> None:
        """Block other writers of watches until this transaction ends. So revisions become visible in order: a reader
        that has seen one has also seen all before it."""

    def next_revision(self) -> int:
        """The revision of the watches that this transaction touches; wakes other daemons. Call `lock_store` first."""

    def event_numbers(self) -> Iterator[int | None]:
        """Numbers for new events, in the order of the log; None where the database numbers them itself."""

    def touch(self) -> None:
        """Wake other daemons for a change that touches no watch."""

    def wake(self, what: str) -> None:
        """Wake other daemons for one of the things above."""


class Transactions(Protocol):
    """Transactions. Every failure becomes a GenbridgeError."""

    is_shared: bool
    """Whether several daemons may work on the store."""

    notes_every_s: float
    """How often the poller's notes are best written."""

    held: frozenset[Share] | None
    """The work that this daemon is certain to hold; None: all of it."""

    fingerprints: Mapping[str, str]
    """Of the endpoints' settings, as last given to `Outbox.disabled`."""

    @property
    def place(self) -> object:
        """Where the store is. Printed, it shows no secret."""

    def read(self) -> AbstractContextManager[Session]:
        """Sees the store at one instant, and writes nothing."""

    def write(self) -> AbstractContextManager[Session]:
        """Everything is on disk when the block has ended. If the block raises, nothing is."""

    def alone(self) -> AbstractContextManager[Session]:
        """Sees the store at one instant and writes nothing. After `lock_store`, other processes do not write either."""

    def jot(self) -> AbstractContextManager[Session]:
        """The same, but a crash of the server may undo the last second."""

    def give_back(self) -> None:
        """Free some of the space that retention has emptied."""

    def space(self) -> StoreSpace:
        """How large the store is, and how much room is left on its disk."""

    def news(self) -> News:
        """See `ports.News`."""

    def close(self) -> None:
        """Close files and connections. A later call opens them again."""


class OneRead:
    """A transaction for each statement."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def find(self, statement: str | Question, **values: object) -> list[Row]:
        """See `Session.find`."""
        with self._database.read() as session:
            return session.find(statement, **values)


class OpenStore:
    """Base of what a store can do."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._once = OneRead(database)


def chosen(sql: str, engine: str) -> str:
    """The text for one engine."""
    return _CHOICE.sub(lambda choice: choice[2] if choice[1] == engine else "", sql)
