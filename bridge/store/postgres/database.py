"""The connections to one PostgreSQL store: opened when needed, given up when lost, and the transactions on them."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus as _Status

from bridge.config.place import PostgresUrl
from bridge.errors import StoreDamaged, StoreError
from bridge.ports import Clock
from bridge.store.migrate import Migration, migrations
from bridge.store.postgres.failures import InDoubt, Mark, understood
from bridge.store.postgres.link import PATIENCE_S, Link, connect
from bridge.store.rows import Row

FAREWELL_S: Final = 0.5
CHANNEL: Final = "genbridge"
NOTIFY: Final = "SELECT pg_notify(%s, current_schema() || ' ' || %s)"  # channels are the database's; a store a schema's
MEMBERS: Final = "members"
LATEST: Final = len(migrations("postgres"))

_MIGRATING: Final = 0x67656E62  # "genb": the advisory lock of whoever brings a store up to date
_MIGRATE_WITHIN_S: Final = 3600.0
# A row for each connection: a later commit on another one must not pass for one that is in doubt.
# Not in a store of another version: whoever brought it up to date has kept all marks waiting until it was.
_MARK: Final = """
    INSERT INTO writers (writer, serial, at) SELECT %s, %s, now() FROM genbridge_store WHERE version = %s
    ON CONFLICT (writer) DO UPDATE SET serial = excluded.serial, at = excluded.at
"""
# Intake begins with the one row of genbridge_store, every write ends with its mark: between the two whoever migrates
# takes what it alters, so that few can wait for it while it waits for them.
_MIGRATE_FIRST: Final = "LOCK TABLE genbridge_store IN EXCLUSIVE MODE"
_MIGRATE_LAST: Final = "LOCK TABLE writers IN EXCLUSIVE MODE"
_TIMES: Final = 5  # a deadlock is seen by the server within a second, and may be seen as ours
# Waits for a transaction of this writer that is still open at the server, for that one holds the row.
_LAST_COMMIT: Final = """
    INSERT INTO writers (writer, serial, at) VALUES (%s, 0, now())
    ON CONFLICT (writer) DO UPDATE SET at = excluded.at
    RETURNING serial
"""
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
# By way of a table: only then does a session hear of what others have made since its transaction began.
_LOOK: Final = """
    SELECT current_schema(), EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('genbridge_store')),
        current_setting('server_encoding')
"""
_FORGET_WRITERS: Final = "DELETE FROM writers WHERE starts_with(writer, %s)"


class Database:
    """Transactions for any number of threads at a time, each on a connection of its own; idle ones are kept.

    Every failure leaves as an error of ours. A connection that is lost is replaced by the next call.
    """

    def __init__(
        self,
        place: PostgresUrl,
        *,
        clock: Clock,
        patience_s: float = PATIENCE_S,
        steps: Sequence[Migration] = migrations("postgres"),
    ) -> None:
        self.place = place
        self._steps = steps
        self._patience_s = patience_s
        self.writer = os.urandom(8).hex()
        self.unheard = 0  # changes of which the daemon itself was not told, see `CommitsPart`
        self._clock = clock
        self._busy: set[int] = set()  # the threads that wait for the server
        self._idle: list[Link] = []
        self._serials, self._links = itertools.count(1), itertools.count(1)
        self._has_marked = False
        self._given_up = 0  # how often what was under way has been

    @property
    def latest(self) -> int:
        """The version that we know."""
        return len(self._steps)

    @property
    def is_busy(self) -> bool:
        """Whether any thread waits for the server."""
        return bool(self._busy)

    @contextmanager
    def read(self) -> Iterator[Link]:
        """A transaction that sees one state of the store."""
        with self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as link:
            yield link

    @contextmanager
    def alone(self) -> Iterator[Link]:
        """A transaction that sees one state of the store, may lock, and writes nothing."""
        with self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ") as link:
            yield link

    @contextmanager
    def write(self) -> Iterator[Link]:
        """A transaction that is on the server's disk when the block has ended; none of it is when the block raises.
        InDoubt when that cannot be known, because the connection was lost while it was being committed."""
        with self._begun(_BEGIN) as link:
            yield link
            mark = Mark(link.writer, next(self._serials))
            # A round trip of its own: when COMMIT is sent, this row is known to be ours until the commit is over.
            if link.execute(_MARK, (*mark, self.latest)).rowcount == 0:
                raise self._other_version(self._version(link))
            self._has_marked = True
            self._commit(link, mark)

    @contextmanager
    def jot(self) -> Iterator[Link]:
        """A transaction that a crash of the server may take back, with the last second of others like it."""
        with self._begun(_BEGIN) as link:
            yield link
            link.execute("SET LOCAL synchronous_commit = off")
            link.execute("COMMIT")

    def has_committed(self, mark: Mark) -> bool:
        """What became of the commit with this mark, once the server has made up its mind. It was the last one on its
        connection; what has been written on others since does not matter."""
        with self._begun(_BEGIN) as link:
            last = link.execute(_LAST_COMMIT, (mark.writer,)).fetchone()
            link.execute("COMMIT")
            return last is not None and bool(last[0] >= mark.serial)

    def version(self) -> int:
        """The number of the last migration; 0: there is no store yet. StoreDamaged when it is newer than we are, or no
        store can be there."""
        with self.read() as link:
            return self._version(link)

    def check(self, version: int) -> None:
        """StoreDamaged when a store of this version is newer than we are, StoreError when it is older."""
        if version != self.latest:
            raise self._other_version(version)

    def migrate(self) -> tuple[int, int]:
        """Bring the store up to date, or make one. Says from which version to which. Safe beside others that do the
        same: one waits for the other; and beside daemons that work on it, which write nothing more afterwards."""
        for _ in range(_TIMES - 1):
            try:
                return self._migrate()
            except StoreError as error:
                if not isinstance(error.__cause__, errors.DeadlockDetected):
                    raise
        return self._migrate()

    def _migrate(self) -> tuple[int, int]:
        with self._begun(_BEGIN) as link, link.patience(_MIGRATE_WITHIN_S):
            link.execute("SET LOCAL statement_timeout = 0")
            link.execute("SET LOCAL lock_timeout = 0")
            link.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            version = self._version(link)
            if version == self.latest:
                return version, version
            if version:
                link.execute(_MIGRATE_FIRST)
            for step in self._steps[version:]:
                link.execute(step.sql)
            if self.latest:
                link.execute(_MIGRATE_LAST)
                link.execute("UPDATE genbridge_store SET version = %s", (self.latest,))
                link.execute(NOTIFY, (CHANNEL, f"{self.writer} {MEMBERS}"))
            link.execute("COMMIT")
            return version, self.latest

    def new_link(self, unless: Callable[[], bool] = lambda: False) -> Link:
        """A connection that is the caller's own to close, and whose errors are psycopg's. It waits for nothing more
        once it has been given up, or `unless` says so."""
        begun = self._given_up
        patience_s = self._patience_s
        link = connect(
            self.place, self._clock, patience_s=patience_s, is_over=lambda: self._given_up != begun or unless()
        )
        link.writer = f"{self.writer}-{next(self._links)}"
        return link

    def give_up(self) -> None:
        """Wait for the server no longer: whatever is under way fails. To be called from another thread."""
        self._given_up += 1

    def close(self) -> None:
        """Close every connection; the next call opens one again."""
        if self._has_marked and self._idle:
            with contextlib.suppress(psycopg.Error), self._idle[-1].patience(FAREWELL_S):
                self._idle[-1].execute(_FORGET_WRITERS, (self.writer,))
        self._drop_idle()

    @contextmanager
    def _begun(self, how: str) -> Iterator[Link]:
        """A connection on which a transaction has begun; it is rolled back unless the block commits it. Afterwards the
        connection is kept, unless it is lost, or leads to a server that is no primary any more."""
        self._busy.add(threading.get_ident())
        try:
            link = self._begin(how)
            try:
                yield link
            except errors.ReadOnlySqlTransaction:
                link.close()
                self._drop_idle()
                raise
            finally:
                if not link.closed and link.info.transaction_status is not _Status.IDLE:
                    with contextlib.suppress(psycopg.Error):
                        link.execute("ROLLBACK")
                if not link.closed:
                    self._idle.append(link)
        except psycopg.Error as error:
            raise understood(error, self.place) from error
        finally:
            self._busy.discard(threading.get_ident())

    def _begin(self, how: str) -> Link:
        """On an idle connection, or a new one: what was idle may be lost without our knowing, after a restart."""
        begun = self._given_up
        with contextlib.suppress(IndexError):
            while (link := self._idle.pop()).is_over():  # it would wait for nothing, not even for a slow commit
                link.close()
            try:
                link.execute(how)
            except psycopg.OperationalError:
                link.close()
                self._drop_idle()
                if self._given_up != begun:
                    raise
            else:
                return link
        link = self.new_link()
        try:
            link.execute(how)
        except BaseException:
            link.close()
            raise
        return link

    def _commit(self, link: Link, mark: Mark) -> None:
        try:
            link.execute("COMMIT", prepare=False)  # there is nothing to plan
        except psycopg.Error as error:
            if link.closed:
                what = f"{understood(error, self.place)}; whether the commit was done is not known yet"
                raise InDoubt(what, mark) from error
            raise

    def _version(self, link: Link) -> int:
        schema, is_there, encoding = one(link.execute(_LOOK))
        if encoding != "UTF8":
            raise StoreDamaged(f"store {self.place}: the database's encoding is {encoding}; make one with UTF8")
        if schema is None:
            raise StoreDamaged(f"store {self.place}: no schema of the search path exists; make it: CREATE SCHEMA ...")
        version: int = one(link.execute("SELECT version FROM genbridge_store"))[0] if is_there else 0
        if version > self.latest:
            raise self._other_version(version)
        return version

    def _other_version(self, version: int) -> StoreError:
        if version > self.latest:
            return StoreDamaged(
                f"store {self.place} was written by a newer genbridge (store version {version}; this one knows "
                f"{self.latest}): upgrade"
            )
        return StoreError(f"store {self.place} is of an older version: `genbridge store migrate` brings it up to date")

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):  # another thread may do the same
            while True:
                self._idle.pop().close()


def one(found: psycopg.Cursor[Row]) -> Row:
    """The row of a statement that always has one."""
    row = found.fetchone()
    assert row is not None
    return row
