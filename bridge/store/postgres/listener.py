"""Listens for the changes of others: a thread with its own connection that receives notifications."""

from __future__ import annotations

import math
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

import psycopg

from bridge.errors import StoreError
from bridge.ports import News
from bridge.store.postgres.failures import understood
from bridge.store.postgres.server_connection import ServerConnection
from bridge.store.postgres.sql_session import PostgresSession
from bridge.store.sql_session import WORK
from bridge.store.statements import SQL

if TYPE_CHECKING:
    from bridge.store.postgres.database import Database

LISTEN_S: Final = 5.0  # after this time it reads the store, because pgbouncer may drop notifications
AGAIN_AFTER_S: Final = 1.0


class Listener:
    """Counts in `heard` the changes of others that wake daemons. All counters grow when a change may have been missed.
    It starts to listen when `heard` is first read."""

    def __init__(self, database: Database) -> None:
        self.failure: StoreError | None = None  # why it cannot listen now
        self._database = database
        self._heard = dict.fromkeys(News._fields, 0)
        self._seen: tuple[int, int] | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def heard(self) -> News:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-listener", daemon=True)
            self._thread.start()
        return News(**self._heard)

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(AGAIN_AFTER_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with closing(self._database.new_connection(self._closing.is_set)) as connection:
                    self._listen(connection)
            except StoreError as error:
                self.failure = error
            except Exception as error:  # a server without LISTEN, or a bug: somebody must notice it
                found = understood(error, self._database.place) if isinstance(error, psycopg.Error) else error
                self.failure = found if isinstance(found, StoreError) else StoreError(f"cannot listen: {found!r}")
            self._closing.wait(AGAIN_AFTER_S)

    def _listen(self, connection: ServerConnection) -> None:
        session = PostgresSession(connection, self._database)
        session.execute("LISTEN genbridge")
        [(schema, process_id)] = session.find("SELECT current_schema(), pg_backend_pid()")
        for what in self._heard:
            self._heard[what] += 1  # something may have been written meanwhile
        while not self._closing.is_set():
            [(revision, touched, now_id)] = session.find(SQL["server.counters"])
            if now_id != process_id:
                raise psycopg.OperationalError("the server's session has changed (pooling mode)")
            if (revision, touched) != self._seen:
                self._heard[WORK] += self._seen is not None
                self._seen = (revision, touched)
            self.failure = None
            with connection.patience(math.inf):
                for notice in connection.notifies(timeout=LISTEN_S):
                    self._take(notice.payload, schema)

    def _take(self, payload: str, schema: str) -> None:
        said = payload.rsplit(" ", 2)  # any program on this database may send anything
        if len(said) == 3 and said[0] == schema and said[1] != self._database.writer and said[2] in self._heard:
            self._heard[said[2]] += 1
