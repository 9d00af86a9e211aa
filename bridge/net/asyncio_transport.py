"""The default transport: asyncio's connections and the llhttp parser. It takes a tenth of the CPU time of httpx's.

`Connector` opens connections; `Connection` reads answers from them. It runs on asyncio only; on other event loops
`HttpxTransport` is used.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import weakref
from collections import defaultdict, deque
from typing import Final

import httpx

from bridge.clock import boot_s
from bridge.net.connection import Connection
from bridge.net.connector import Connector
from bridge.net.exchange import FIRST_SERVER_ERROR, WireRequest, WireResponse
from bridge.net.failure_kinds import NO_ANSWER, NotConnected, is_local

KEEP_ALIVE_S: Final = 15.0  # how long idle connections are kept; sleep of the machine counts, as it does for the others

_TRANSPORTS: Final[weakref.WeakSet[AsyncioTransport]] = weakref.WeakSet()
"""All transports, so that their idle connections are closed when no file is free for another one."""


class AsyncioTransport:
    """`Transport`: one connection for each request in flight; at most `most_idle` of them are kept for later requests.

    Callers limit their own concurrency. The most recently used connection is used first, so surplus connections expire
    and are closed. If the other side has just closed a kept-alive connection, a GET is sent again on a new one, once.
    If this machine lacks something for a connection, the idle ones of all transports are closed.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._opener = Connector(context=context, proxy=proxy)
        self._most_idle = most_idle
        self._idle: defaultdict[str, deque[tuple[float, Connection]]] = defaultdict(deque)
        self._sweep: asyncio.TimerHandle | None = None  # closes connections that nobody has used
        self._is_closed = False
        _TRANSPORTS.add(self)

    async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
        sent = self._opener.request(message.method, message.at, message.target, message.head) + message.body
        kept = self._kept(message.origin)
        # The loop of a connection is known. Asking for the running one takes a system call.
        ends_at = (asyncio.get_running_loop() if kept is None else kept.loop).time() + timeout_s
        while True:
            connection = kept or await self._opened(message.at, ends_at)
            try:
                status, headers = await connection.send(sent, ends_at)
                body = reply.begin(status, headers)
                while not connection.has_ended:
                    chunk = connection.arrived() or await connection.more()
                    if chunk and not body.feed(chunk):
                        return
                return body.finish()
            except NO_ANSWER:
                if kept is None or message.method != "GET" or reply.body is not None:
                    raise
                kept = None
            finally:
                self._release(message.origin, connection, is_sound=reply.status < FIRST_SERVER_ERROR)

    async def aclose(self) -> None:
        """Close idle connections now, and those in use as soon as their exchanges end."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._close_idle()

    def _close_idle(self) -> None:
        for idle in self._idle.values():
            self._trim(idle, math.inf)

    def _release(self, origin: str, connection: Connection, *, is_sound: bool) -> None:
        """Return a connection to the pool after its exchange, also after a failure. It is closed instead if it
        cannot be used again, or if the server fails, because a name may have moved since it was opened."""
        if not connection.rest() or not is_sound:
            return connection.drop()
        idle = self._idle[origin]
        now = boot_s()
        idle.append((now, connection))
        if self._is_closed or len(idle) > self._most_idle:
            self._trim(idle, now)
        if self._sweep is None and not self._is_closed:
            self._sweep = connection.loop.call_later(KEEP_ALIVE_S, self._close_unused, connection.loop)

    def _close_unused(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        for idle in self._idle.values():
            self._trim(idle, boot_s())
        if any(self._idle.values()):
            self._sweep = loop.call_later(KEEP_ALIVE_S, self._close_unused, loop)

    def _trim(self, idle: deque[tuple[float, Connection]], now: float) -> None:
        while idle and (self._is_closed or len(idle) > self._most_idle or idle[0][0] < now - KEEP_ALIVE_S):
            idle.popleft()[1].drop()

    def _kept(self, origin: str) -> Connection | None:
        """An idle connection that has received no bytes since its last exchange: such bytes could not be the answer to
        the next request."""
        idle = self._idle.get(origin)
        while idle:
            put_at, connection = idle.pop()
            if connection.is_fit and boot_s() - put_at < KEEP_ALIVE_S:
                return connection
            connection.drop()
        return None

    async def _opened(self, at: httpx.URL, ends_at: float) -> Connection:
        """A new connection. If this machine lacks something for it, the idle ones are closed."""
        try:
            return await self._opener.open(at, ends_at)
        except TimeoutError as error:
            raise NotConnected from error
        except httpx.ConnectError as error:
            if is_local(error):
                for each in _TRANSPORTS:
                    each._close_idle()
            raise
