"""The connections to one PostgreSQL store, and the transactions on them."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus as _Status

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.page_views import StoreSpace
from bridge.errors import StoreDamaged, StoreError
from bridge.ports import Clock, News
from bridge.store.migrations import migrations, other_version
from bridge.store.postgres.failures import InDoubt, Mark, denied, understood
from bridge.store.postgres.listener import Listener
from bridge.store.postgres.server_connection import PATIENCE_S, ServerConnection, connect
from bridge.store.postgres.sql_session import PostgresSession
from bridge.store.rows import Row
from bridge.store.sql_session import MEMBERS
from bridge.store.statements import SQL

AGREE_S: Final = 2.0  # a smaller clock difference does no harm; it may be the network delay of the answer
FAREWELL_S: Final = 0.5
LATEST: Final = len(migrations("postgres"))

_MIGRATING: Final = 0x67656E62  # "genb": the advisory lock that a migration takes
_MIGRATE_WITHIN_S: Final = 3600.0
_TIMES: Final = 5  # attempts: to end a deadlock, the server cancels one transaction, perhaps ours


class Database:
    """Transactions for any number of threads, each on its own connection. Idle connections are kept.

    Every failure becomes a GenbridgeError. The next call replaces a lost connection.
    """

    is_shared = True
    look_every_s = 0.05  # between checks for news; each compares four numbers
    notes_every_s = 5.0  # only the last note of a watch is written; after a crash, watches without it are polled first

    def __init__(
        self,
        place: PostgresUrl,
        *,
        clock: Clock,
        patience_s: float = PATIENCE_S,
        steps: Sequence[str] = migrations("postgres"),
    ) -> None:
        self.place = place
        self._steps, self.latest = steps, len(steps)  # the version that we know
        self._patience_s = patience_s
        self.writer = os.urandom(8).hex()
        self.unnotified = 0  # changes that this daemon was not notified of, see `PostgresStore.commit`
        self._clock = clock
        self._busy: set[int] = set()  # the threads that wait for the server
        self._idle: list[ServerConnection] = []
        self._serials, self._numbers = itertools.count(1), itertools.count(1)
        self._has_marked = False
        self._listener = Listener(self)
        self.fence: int | None = None  # our number among the members; None: not joined, we work on everything
        self.lease_s = 0.0  # how long the lease lasts after each renewal
        self._given_up = 0  # how often `give_up` was called

    def is_syncing(self) -> bool:
        """See `Transactions.is_syncing`. Each wait for the server has its own limit."""
        return bool(self._busy)

    def ahead_s(self, clock: Clock) -> float:
        """See `Transactions.ahead_s`. Daemons share the clock of the server."""
        ahead_s: float = self.find(SQL["server.now"])[0][0] - clock.now()
        return ahead_s if abs(ahead_s) > AGREE_S else 0.0

    def space(self) -> StoreSpace:
        """See `Transactions.space`: only the size of its tables is known."""
        return StoreSpace(int(self.find(SQL["server.size"])[0][0]))

    def news(self) -> News:
        """See `ports.News`. A thread listens, so this waits for nothing. StoreError while the thread cannot reach the
        server."""
        heard = self._listener.heard
        if self._listener.failure is not None:
            raise self._listener.failure
        return heard._replace(work=heard.work + self.unnotified)

    def read(self) -> AbstractContextManager[PostgresSession]:
        return self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def alone(self) -> AbstractContextManager[PostgresSession]:
        return self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ")

    def find(self, statement: str, **values: object) -> list[Row]:
        with self.read() as session:
            return session.find(statement, **values)

    @contextmanager
    def write(self, *, is_small: bool = False) -> Iterator[PostgresSession]:
        """See `Transactions.write`. InDoubt when it is not known whether everything is on disk, because the connection
        was lost during COMMIT."""
        with self._begun() as session:
            yield session
            connection = session.connection
            mark = Mark(connection.writer, next(self._serials))
            # In its own round trip: so this row is locked before COMMIT is sent.
            if session.execute(SQL["server.mark"], **mark._asdict(), latest=self.latest) == 0:
                raise other_version(self.place, self._version(session), self.latest)
            self._has_marked = True
            try:
                connection.execute("COMMIT", prepare=False)  # preparing it would save nothing
            except psycopg.Error as error:
                if not connection.closed:
                    raise
                what = f"{understood(error, self.place)}; it is not known yet whether the commit succeeded"
                raise InDoubt(what, mark) from error

    @contextmanager
    def write_unsynced(self) -> Iterator[PostgresSession]:
        with self._begun() as session:
            yield session
            session.execute("SET LOCAL synchronous_commit = off")
            session.execute("COMMIT")

    def has_committed(self, mark: Mark) -> bool:
        """Whether the commit with this mark was done; waits until the server has decided. It must be the last commit of
        its connection."""
        with self._begun() as session:
            last: int = session.find(SQL["server.last_commit"], writer=mark.writer)[0][0]
            session.execute("COMMIT")
            return last >= mark.serial

    def give_back(self) -> None:
        """Delete the marks of connections that have not written for a day. By then none of their commits is in
        doubt."""
        with self.write_unsynced() as session:
            session.execute("DELETE FROM writers WHERE at < now() - interval '1 day'")

    def version(self) -> int:
        """The number of the last migration; 0 without a store. StoreDamaged when it is newer than we know, or
        when the database cannot hold a store."""
        with self.read() as session:
            return self._version(session)

    def check(self, version: int) -> None:
        """StoreDamaged when this version is newer than we know, StoreError when it is older."""
        if version != self.latest:
            raise other_version(self.place, version, self.latest)

    def migrate(self) -> tuple[int, int]:
        """Upgrade the store, or create it. Returns the versions before and after. Others may migrate at the same time:
        one waits for the other. Running daemons of an older version write nothing afterwards."""
        for _ in range(_TIMES - 1):
            try:
                return self._migrate()
            except StoreError as error:
                if not isinstance(error.__cause__, errors.DeadlockDetected):
                    raise
        return self._migrate()

    def _migrate(self) -> tuple[int, int]:
        with self._begun() as session, session.connection.patience(_MIGRATE_WITHIN_S):
            session.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            session.find("SELECT pg_advisory_xact_lock(:number)", number=_MIGRATING)
            version = self._version(session)
            if version == self.latest:
                return version, version
            if version:
                session.execute(SQL["server.migrate_first"])
            for script in self._steps[version:]:
                session.connection.execute(script)
            if self.latest:
                session.execute(SQL["server.migrate_last"])
                session.execute("UPDATE genbridge_store SET version = :latest", latest=self.latest)
                session.wake(MEMBERS)
            session.execute("COMMIT")
            return version, self.latest

    def new_connection(self, is_over: Callable[[], bool] | None = None) -> ServerConnection:
        """A connection that the caller closes, and that raises psycopg's errors. It stops waiting when it `is_over`: if
        not given, after `give_up`."""
        begun = self._given_up
        is_over = is_over or (lambda: self._given_up != begun)
        connection = connect(self.place, self._clock, patience_s=self._patience_s, is_over=is_over)
        connection.writer = f"{self.writer}-{next(self._numbers)}"
        return connection

    def give_up(self) -> None:
        """See `Transactions.give_up`."""
        self._given_up += 1

    def close(self) -> None:
        self._listener.close()
        if self._has_marked and self._idle:
            with contextlib.suppress(psycopg.Error), self._idle[-1].patience(FAREWELL_S):
                PostgresSession(self._idle[-1], self).execute(SQL["server.forget_writers"], writer=self.writer)
        self._drop_idle()

    @contextmanager
    def _begun(self, how: str = "BEGIN ISOLATION LEVEL READ COMMITTED") -> Iterator[PostgresSession]:
        """A transaction on a connection. It is rolled back unless the block commits it. Afterwards the
        connection is kept, unless it is lost or its server is now a standby."""
        self._busy.add(threading.get_ident())
        try:
            connection = self._begin(how)
            try:
                yield PostgresSession(connection, self)
            except errors.ReadOnlySqlTransaction:
                connection.close()
                self._drop_idle()
                raise
            finally:
                if not connection.closed and connection.info.transaction_status is not _Status.IDLE:
                    with contextlib.suppress(psycopg.Error):
                        connection.execute("ROLLBACK")
                if not connection.closed:
                    self._idle.append(connection)
        except psycopg.Error as error:
            raise understood(error, self.place) from error
        finally:
            self._busy.discard(threading.get_ident())

    def _begin(self, how: str) -> ServerConnection:
        """A transaction on an idle connection, or on a new one if the idle ones are broken, for example after a restart
        of the server."""
        begun = self._given_up
        with contextlib.suppress(IndexError):
            while (connection := self._idle.pop()).is_over():  # given up
                connection.close()
            try:
                connection.execute(how)
            except psycopg.Error:
                connection.close()
                self._drop_idle()
                if self._given_up != begun:
                    raise
            else:
                return connection
        connection = self.new_connection()
        try:
            connection.execute(how)
        except BaseException:
            connection.close()
            raise
        return connection

    def _version(self, session: PostgresSession) -> int:
        [(schema, is_there, encoding)] = session.find(SQL["server.look"])
        if encoding != "UTF8":
            raise StoreDamaged(f"store {self.place}: the database's encoding is {encoding}; make one with UTF8")
        if schema is None:
            raise denied(self.place, "no schema of the search path exists for this user; make it (CREATE SCHEMA ...)")
        version: int = session.find("SELECT version FROM genbridge_store")[0][0] if is_there else 0
        if version > self.latest:
            raise other_version(self.place, version, self.latest)
        return version

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):  # another thread may add a connection at the same time
            while True:
                self._idle.pop().close()
