"""The transport over httpx's own connections (`polling.transport: httpx`), which runs on every event loop.

A pool of httpx looks at each of its connections, several times, for each request: its cost grows with the square of
the requests in flight (7 ms each at 64). So every connection is a pool of one, and they are kept in a stack here.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import anyio
import httpx

from bridge.net.exchange import WireRequest, WireResponse
from bridge.net.failure_kinds import NO_ANSWER
from bridge.net.request_head import ExactUrl

KEEP_ALIVE_S: Final = 15.0  # idle connections are kept so long; one the other side closed earlier is noticed
CLOSE_S: Final = 2.0  # the most a connection may take to close


class HttpxTransport:
    """`Transport`: as many connections as requests at once; at most `most_idle` of them wait for the next request.

    Callers bound their own concurrency. The connection used last is used next, so surplus ones expire and are closed.
    A GET that meets a kept-alive connection the other side has just closed is sent again on a new one, once.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._context = context
        self._most_idle = most_idle
        self._proxy = proxy
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()
        self._is_closed = False

    async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
        """See `Transport.exchange`."""
        with anyio.move_on_after(timeout_s) as deadline:
            trace = _Trace()
            connection = self._idle.pop()[1] if self._idle else self._new()
            try:
                return await self._exchange(connection, message, reply, trace)
            except NO_ANSWER:
                if message.method != "GET" or reply.body is not None or not trace.was_reused:
                    raise
            return await self._exchange(self._new(), message, reply, _Trace())
        if deadline.cancelled_caught:
            raise TimeoutError  # here, so that an error of the cancelled connection is not mistaken for its cause

    async def aclose(self) -> None:
        """Close what is idle, and what is under way as soon as it ends."""
        self._is_closed = True
        await self._trim()

    def _new(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._context, limits=limits, proxy=self._proxy, trust_env=False)

    async def _exchange(
        self, connection: httpx.AsyncHTTPTransport, message: WireRequest, reply: WireResponse, trace: _Trace
    ) -> None:
        request = httpx.Request(message.method, message.at, content=message.body, extensions={"trace": trace.note})
        request.url, request.headers = ExactUrl(message.at, message.target), httpx.Headers(message.head.pairs)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            # httpcore forgets a socket whose TLS handshake is cancelled; closing one twice does no harm.
            with anyio.move_on_after(CLOSE_S, shield=True):
                for stream in trace.opened:
                    await stream.aclose()
            self._idle.append((anyio.current_time(), connection))  # closed: the next exchange opens it again
            raise
        try:
            reply.begin(response.status_code, response.headers.raw)
            body, stream = reply.body, response.stream
            assert body is not None
            assert isinstance(stream, httpx.AsyncByteStream)
            async for chunk in stream:
                if not body.feed(chunk):
                    return
            body.finish()
        finally:
            # Shielded: a connection that was neither closed nor taken back would be lost to the pool forever.
            with anyio.move_on_after(CLOSE_S, shield=True):
                try:
                    await response.stream.aclose()  # type: ignore[union-attr]  # an asynchronous one, as above
                finally:
                    await self._release(connection)

    async def _release(self, connection: httpx.AsyncHTTPTransport) -> None:
        if has_unread_bytes(connection):
            return await connection.aclose()
        self._idle.append((anyio.current_time(), connection))
        await self._trim()

    async def _trim(self) -> None:
        stale_at = anyio.current_time() - KEEP_ALIVE_S
        while self._idle and (self._is_closed or len(self._idle) > self._most_idle or self._idle[0][0] < stale_at):
            await self._idle.popleft()[1].aclose()


class _Trace:
    """Notes from httpcore's trace hook whether the connection is a new one, and whether sending began."""

    def __init__(self) -> None:
        self.opened: list[Any] = []  # network streams opened for this request
        self._is_sent = False

    @property
    def was_reused(self) -> bool:
        return self._is_sent and not self.opened

    async def note(self, step: str, facts: Mapping[str, Any]) -> None:
        if step == "connection.connect_tcp.complete":
            self.opened.append(facts["return_value"])
        elif step == "http11.send_request_headers.started":
            self._is_sent = True


def has_unread_bytes(connection: httpx.AsyncHTTPTransport) -> bool:
    """Whether bytes after the answer have come in: httpcore would take them for the answer to the next request."""
    opened = (getattr(each, "_connection", None) for each in connection._pool.connections)
    states = (getattr(each, "_h11_state", None) for each in opened)
    return any(state is not None and state.trailing_data[0] for state in states)
