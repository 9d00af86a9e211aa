"""One connection to PostgreSQL, on which no silence lasts longer than its patience."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen, PQGenConn
from psycopg.conninfo import conninfo_to_dict

from bridge.config.place import PostgresUrl
from bridge.errors import ConfigError
from bridge.ports import Clock
from bridge.store.rows import Row

T = TypeVar("T")

CONNECT_WITHIN_S: Final = 3  # each host, unless the connection string says otherwise
PATIENCE_S: Final = 10.0
LOCK_WITHIN_S: Final = 5.0

# What the server gives up on by itself, sooner than we do: then the connection survives. An abandoned transaction must
# not keep its locks either, though nobody tells the server that we are gone.
_LIMITS: Final = {
    "statement_timeout": "9s",
    "lock_timeout": f"{LOCK_WITHIN_S:g}s",
    "idle_in_transaction_session_timeout": "15s",
    "tcp_user_timeout": "15s",
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "3s",
    "tcp_keepalives_count": "3",
}
_SET_LIMITS: Final = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _LIMITS.items())
# What has been acknowledged is on the server's disk, whatever role and database set. (Stricter is left as it is.)
_SYNCED: Final = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""


_IS_OVER: ContextVar[Callable[[], bool]] = ContextVar("is_over")  # of the connection that is being made


class Silence(psycopg.OperationalError):
    """The server has said nothing for too long."""


class Link(psycopg.Connection[Row]):
    """A connection whose every wait ends: after `patience_s` without a sign from the server it is given up.

    Keepalives do not do that: a proxy, or the kernel of a server whose process hangs, goes on answering them.
    """

    clock: Clock
    writer: str  # what it calls itself in the marks of its commits
    patience_s = PATIENCE_S
    is_over: Callable[[], bool]  # whether nothing is worth waiting for any more

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> PQGenConn[Any]:
        """Within psycopg, and not promised: should it be gone, a connection that is being made is waited for to the end
        of its own time."""
        return _while_wanted(super()._connect_gen(*args, **kwargs), _IS_OVER.get())

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """See psycopg. It asks about the generator every 0.1 s even while nothing happens."""
        try:
            return super().wait(self._watched(gen), *args, **kwargs)
        except Silence:
            self.pgconn.finish()  # without a farewell, which might wait as well
            raise

    @contextmanager
    def patience(self, seconds: float) -> Generator[None]:
        """Within the block the server may be silent for so long, and work for so long on a statement."""
        before, self.patience_s = self.patience_s, seconds
        try:
            yield
        finally:
            self.patience_s = before

    def _watched(self, gen: PQGen[T]) -> PQGen[T]:
        heard_at = self.clock.steady()
        ready: Any = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                answer: T = end.value
                return answer
            ready = yield wanted
            if ready:
                heard_at = self.clock.steady()
                continue
            silent_s = self.clock.steady() - heard_at
            if silent_s > self.patience_s or self.is_over():
                raise Silence(f"the server has not answered for {silent_s:.1f} s")


def _while_wanted(gen: PQGenConn[T], is_over: Callable[[], bool]) -> PQGenConn[T]:
    ready: Any = None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            made: T = end.value
            return made
        ready = yield wanted
        if not ready and is_over():
            raise Silence("given up before the server has answered")


def connect(place: PostgresUrl, clock: Clock, *, patience_s: float, is_over: Callable[[], bool]) -> Link:
    """A connection that begins no transaction by itself, and waits for nothing once it `is_over`. ConfigError when the
    string cannot be read; what psycopg raises when nobody answers, or refuses."""
    try:
        given = conninfo_to_dict(place.reveal())
    except psycopg.ProgrammingError:
        # libpq's own words would quote what it could not read, and that may be half of a password.
        raise ConfigError(
            [f"store {place}: libpq cannot read this; percent-encode what is special in user and password"]
        ) from None
    # Every wait before the connection is there is psycopg's own, and has the first as its deadline.
    ours = {"connect_timeout": str(CONNECT_WITHIN_S), "fallback_application_name": "genbridge"}
    ours = {name: value for name, value in ours.items() if name not in given}
    before = _IS_OVER.set(is_over)
    try:
        link = Link.connect(place.reveal(), autocommit=True, client_encoding="UTF8", **ours)  # type: ignore[arg-type]
    finally:
        _IS_OVER.reset(before)
    try:
        link.clock, link.patience_s, link.is_over = clock, patience_s, is_over
        link.execute(_SET_LIMITS)
        link.execute(_SYNCED)
    except BaseException:
        link.close()
        raise
    return link
