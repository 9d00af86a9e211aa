"""httpx's own connections, which run on every event loop and stream bodies in both directions.

For each request, a pool of httpx examines all of its connections several times: the cost grows with the square of the
requests in flight (7 ms each at 64). So here every connection is a pool of one, and the pools are kept in a stack.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import anyio
import httpx

from bridge.clock import boot_s
from bridge.net.exchange import WireRequest, WireResponse, first_values
from bridge.net.failure_kinds import FAILURES, NO_ANSWER, BodyStopped, explain_cut
from bridge.net.request_head import ExactUrl, Pair, named_by_tls
from bridge.net.resolver_threads import lend_to_loop

KEEP_ALIVE_S: Final = 15.0  # how long idle connections are kept; if the other side closes one earlier, that is noticed
CLOSE_S: Final = 2.0  # maximum time for closing a connection
GONE_S: Final = 60  # a connection whose other side acknowledges nothing for this long is broken
PROBE_S: Final = 30  # how often to check that the other side is there while it is silent; this also keeps NAT entries


class HttpxConnections:
    """One connection for each request in flight; at most `most_idle` of them are kept for later requests.

    Callers limit their own concurrency. The most recently used connection is used first, so surplus connections expire
    and are closed.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._context = context
        self._most_idle = most_idle
        self._proxy = proxy
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()
        self._is_closed = False

    async def send(self, request: httpx.Request, target: bytes, *, is_repeatable: bool) -> StreamedAnswer:
        """Send a request to exactly this target. Returns as soon as the headers have arrived.

        If the other side has just closed a kept-alive connection, a repeatable request is sent again on a new one,
        once.
        """
        if self._proxy is None:  # else httpcore would use this name for the proxy
            request.extensions = {**request.extensions, "sni_hostname": named_by_tls(request.url)}
        request.url = ExactUrl(request.url, target)
        trace = _Trace()
        try:
            await self._trim()
            return await self._sent(request, self._idle.pop()[1] if self._idle else self._new(), trace)
        except NO_ANSWER:
            if not is_repeatable or not trace.was_reused:
                raise
        return await self._sent(request, self._new(), _Trace())

    async def take_back(self, connection: httpx.AsyncHTTPTransport, *, is_sound: bool) -> None:
        """Keep a connection that is no longer in use, or close it: also if the server fails, because its name may have
        moved to another server."""
        if not is_sound or _has_unread_bytes(connection):
            return await connection.aclose()
        self._idle.append((boot_s(), connection))
        await self._trim()

    async def aclose(self) -> None:
        """Close idle connections now, and those in use as soon as their exchanges end."""
        self._is_closed = True
        await self._trim()

    def _new(self) -> httpx.AsyncHTTPTransport:
        lend_to_loop()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(
            verify=self._context, limits=limits, proxy=self._proxy, trust_env=False, socket_options=_notices_death()
        )

    async def _sent(
        self, request: httpx.Request, connection: httpx.AsyncHTTPTransport, trace: _Trace
    ) -> StreamedAnswer:
        request.extensions = {**request.extensions, "trace": trace.note}
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            # If a TLS handshake is canceled, httpcore loses track of the socket. Closing a socket twice does no harm.
            with anyio.move_on_after(CLOSE_S, shield=True):
                for stream in trace.opened:
                    await stream.aclose()
                await connection.aclose()
            raise
        return StreamedAnswer(response, connection, self)

    async def _trim(self) -> None:
        stale_at = boot_s() - KEEP_ALIVE_S
        while self._idle and (self._is_closed or len(self._idle) > self._most_idle or self._idle[0][0] < stale_at):
            await self._idle.popleft()[1].aclose()


def _notices_death() -> list[tuple[int, int, int]]:
    """Socket options that break a connection if the other side has vanished without closing it, as after a power cut,
    or if a NAT has forgotten it. An answer may take ten minutes, so silence alone says nothing."""
    values = {"TCP_KEEPIDLE": PROBE_S, "TCP_KEEPINTVL": PROBE_S // 3, "TCP_USER_TIMEOUT": GONE_S * 1000}
    known = [(getattr(socket, name), value) for name, value in values.items() if hasattr(socket, name)]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *((socket.IPPROTO_TCP, name, value) for name, value in known)]


class StreamedAnswer:
    """Status and headers of an answer, and its body while it arrives, still encoded. Must be closed."""

    def __init__(
        self, response: httpx.Response, connection: httpx.AsyncHTTPTransport, connections: HttpxConnections
    ) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self.status: Final = response.status_code
        self.headers: Final[Sequence[Pair]] = response.headers.raw
        self.stream: Final = response.stream
        self._connection = connection
        self._connections = connections

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. BodyStopped if it ends early."""
        try:
            async for chunk in self.stream:
                yield chunk
        except FAILURES as error:
            late = isinstance(error, httpx.TimeoutException)
            raise BodyStopped(
                "the provider stopped sending in the middle of the body" if late else explain_cut(error)
            ) from error

    async def aclose(self) -> None:
        """Keep the connection if the body has been read to its end; otherwise close it."""
        # Shielded, because the pool would lose a connection that was neither closed nor returned.
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await self.stream.aclose()
            finally:
                await self._connections.take_back(
                    self._connection, is_sound=self.status < HTTPStatus.INTERNAL_SERVER_ERROR
                )


class HttpxTransport(HttpxConnections):
    """`Transport` (`polling.transport: httpx`)."""

    async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
        with anyio.move_on_after(timeout_s) as deadline:
            request = httpx.Request(message.method, message.at, content=message.body)
            request.headers = httpx.Headers(message.head.pairs)
            answer = await self.send(request, message.target, is_repeatable=message.method == "GET")
            try:
                body = reply.begin(answer.status, first_values(answer.headers))
                async for chunk in answer.stream:
                    if not body.feed(chunk):
                        return
                return body.finish()
            finally:
                await answer.aclose()
        if deadline.cancelled_caught:
            raise TimeoutError  # raised here, so that an error of the canceled connection does not look like its cause


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


def _has_unread_bytes(connection: httpx.AsyncHTTPTransport) -> bool:
    """Whether bytes have arrived after the answer: httpcore would take them for the answer to the next request."""
    opened = (getattr(each, "_connection", None) for each in connection._pool.connections)
    states = (getattr(each, "_h11_state", None) for each in opened)
    return any(state is not None and state.trailing_data[0] for state in states)
