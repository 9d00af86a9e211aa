"""The transport with httpx's own connections (`polling.transport: httpx`), which runs on every event loop.

For each request, a pool of httpx examines all of its connections several times: the cost grows with the square of the
requests in flight (7 ms each at 64). So here every connection is a pool of one, and the pools are kept in a stack.
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

KEEP_ALIVE_S: Final = 15.0  # how long idle connections are kept; if the other side closes one earlier, that is noticed
CLOSE_S: Final = 2.0  # maximum time for closing a connection


class HttpxTransport:
    """`Transport`: one connection for each request in flight; at most `most_idle` of them are kept for later requests.

    Callers limit their own concurrency. The most recently used connection is used first, so surplus connections expire
    and are closed. If the other side has just closed a kept-alive connection, a GET is sent again on a new one, once.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._context = context
        self._most_idle = most_idle
        self._proxy = proxy
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()
        self._is_closed = False

    async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
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
            raise TimeoutError  # raised here, so that an error of the canceled connection does not look like its cause

    async def aclose(self) -> None:
        """Close idle connections now, and those in use as soon as their exchanges end."""
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
            # If a TLS handshake is canceled, httpcore loses track of the socket. Closing a socket twice does no harm.
            with anyio.move_on_after(CLOSE_S, shield=True):
                for stream in trace.opened:
                    await stream.aclose()
            self._idle.append((anyio.current_time(), connection))  # it is closed, and the next exchange opens it again
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
            # Shielded, because the pool would lose a connection that was neither closed nor returned.
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
    """Records from httpcore's trace hook whether the connection is new, and whether sending has begun."""

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
    """Whether bytes have arrived after the answer: httpcore would take them for the answer to the next request."""
    opened = (getattr(each, "_connection", None) for each in connection._pool.connections)
    states = (getattr(each, "_h11_state", None) for each in opened)
    return any(state is not None and state.trailing_data[0] for state in states)
