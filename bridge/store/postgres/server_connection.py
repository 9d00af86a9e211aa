"""A connection to PostgreSQL that gives up when the server is silent for too long."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen, PQGenConn
from psycopg.conninfo import conninfo_to_dict

from bridge.config.postgres_url import PostgresUrl
from bridge.errors import ConfigError, StoreDamaged
from bridge.ports import Clock
from bridge.store.rows import Row
from bridge.store.statements import SQL

T = TypeVar("T")

CONNECT_WITHIN_S: Final = 3  # time limit for each host, unless the connection string has another
PATIENCE_S: Final = 10.0
OLDEST: Final = 14  # the oldest version of the server with all settings that we need
_CONNECTING: ContextVar[tuple[Clock, Callable[[float], bool]]] = ContextVar("connecting")


class Silence(psycopg.OperationalError):
    """The server has sent nothing within the time limit."""


class ServerConnection(psycopg.Connection[Row]):
    """A connection that is closed after `patience_s` without a sign from the server.

    Keepalives are not enough: a proxy answers them, and so does the kernel while the server's process hangs.
    """

    clock: Clock
    writer: str  # its name in the marks of its commits
    patience_s = PATIENCE_S
    is_over: Callable[[], bool]  # whether to stop waiting, because the caller has given up

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> PQGenConn[Any]:
        """A private method of psycopg. Without it, only `connect_timeout` would end a wait for a new connection."""
        return _watched(super()._connect_gen(*args, **kwargs), *_CONNECTING.get())

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """See psycopg, which resumes the generator every 0.1 s even while nothing happens."""
        gen = _watched(gen, self.clock, lambda silent_s: silent_s > self.patience_s or self.is_over())
        try:
            return super().wait(gen, *args, **kwargs)
        except Silence:
            self.pgconn.finish()  # a regular close might wait as well
            raise

    @contextmanager
    def patience(self, seconds: float) -> Generator[None]:
        """Within the block the server may be silent for this long."""
        before, self.patience_s = self.patience_s, seconds
        try:
            yield
        finally:
            self.patience_s = before


def _watched(gen: Generator[Any, Any, T], clock: Clock, is_over: Callable[[float], bool]) -> Generator[Any, Any, T]:
    """Waits like `gen`. Raises Silence when `is_over` is true for the number of seconds in which the server has sent
    nothing."""
    heard_at = clock.steady()
    ready: Any = None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer
        ready = yield wanted
        now = clock.steady()
        if ready:
            heard_at = now
        elif is_over(now - heard_at):
            raise Silence(f"gave up waiting for the server after {now - heard_at:.1f} s without an answer")


def connect(place: PostgresUrl, clock: Clock, *, patience_s: float, is_over: Callable[[], bool]) -> ServerConnection:
    """A connection in autocommit mode that stops waiting once it `is_over`. ConfigError when the URL cannot be read;
    psycopg's errors when the server does not answer or refuses. StoreDamaged when it is too old."""
    try:
        given = conninfo_to_dict(place.reveal())
    except psycopg.ProgrammingError:
        # libpq's message quotes the text it could not read, which may be half of a password.
        advice = "check the parameter names after `?`, and percent-encode special characters in user and password"
        raise ConfigError([f"store {place}: libpq cannot read this; {advice}"]) from None
    ours = {"connect_timeout": str(CONNECT_WITHIN_S), "fallback_application_name": "genbridge"}
    ours = {name: value for name, value in ours.items() if name not in given}
    before = _CONNECTING.set((clock, lambda _: is_over()))
    try:
        connection = ServerConnection.connect(place.reveal(), autocommit=True, client_encoding="UTF8", **ours)  # type: ignore[arg-type]
    finally:
        _CONNECTING.reset(before)
    try:
        connection.clock, connection.patience_s, connection.is_over = clock, patience_s, is_over
        # If a pooler changes the session, psycopg must not run the statement of another client that has the same name.
        with suppress(AttributeError):  # a later psycopg may name them in another way
            connection._prepared._prepared_idx = int.from_bytes(os.urandom(6))
        if (version := connection.info.server_version // 10_000) < OLDEST:
            raise StoreDamaged(f"store {place}: its PostgreSQL {version} is too old; use {OLDEST} or newer")
        connection.execute(SQL["server.settings"])
        connection.execute(SQL["server.synced"])
    except BaseException:
        connection.close()
        raise
    return connection
