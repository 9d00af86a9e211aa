"""The stock transport (httpx's own), one connection a lane.

httpx's own pool looks at every connection, several times, for every request: its cost grows with the square of the
requests in flight (7 ms each at 64). A stack of pools of one connection costs the same at any number.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import anyio
import httpx

from bridge.net.exchange import Message, Reply
from bridge.net.failures import NO_ANSWER
from bridge.net.head import ExactUrl

KEEP_ALIVE_S: Final = 15.0  # idle connections are kept so long; one the other side closed earlier is noticed
CLOSE_S: Final = 2.0  # the most a connection may take to close


class Lanes:
    """`Transport`: as many connections as requests at once; at most `most_idle` of them wait for the next request.

    Callers bound their own concurrency. The lane used last is used next, so surplus ones grow stale and are closed.
    A GET that meets a kept-alive connection the other side has just closed is asked again on a new one, once.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._context = context
        self._most_idle = most_idle
        self._proxy = proxy
        self._idle: deque[tuple[float, httpx.AsyncBaseTransport]] = deque()
        self._is_closed = False

    async def exchange(self, message: Message, reply: Reply, *, timeout_s: float) -> None:
        """See `Transport.exchange`."""
        request = httpx.Request(message.method, message.at, content=message.body)
        request.url, request.headers = ExactUrl(message.at, message.target), httpx.Headers(message.head.pairs)
        with anyio.move_on_after(timeout_s) as deadline:
            response = await self._answered(request)
            reply.begin(response.status_code, response.headers.raw)
            await _read(response, reply)
        if deadline.cancelled_caught:
            raise TimeoutError  # here, so that nothing the cancelling broke is taken for its cause

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        lane = self._idle.pop()[1] if self._idle else self._lane()
        way = _Way()
        try:
            return await self._ask(lane, request, way)
        except NO_ANSWER:
            if request.method != "GET" or not way.was_reused:
                raise
        return await self._ask(self._lane(), request, _Way())

    async def aclose(self) -> None:
        """Close what is idle, and what is under way as soon as it ends."""
        self._is_closed = True
        await self._trim()

    async def release(self, lane: httpx.AsyncBaseTransport) -> None:
        """Take a lane back whose exchange is over."""
        if _has_said_more(lane):
            return await lane.aclose()
        self._idle.append((anyio.current_time(), lane))
        await self._trim()

    async def _ask(self, lane: httpx.AsyncBaseTransport, request: httpx.Request, way: _Way) -> httpx.Response:
        request.extensions = {"trace": way.note}
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            # httpcore forgets a socket whose TLS handshake is cancelled; closing one twice does no harm.
            with anyio.move_on_after(CLOSE_S, shield=True):
                for stream in way.opened:
                    await stream.aclose()
            self._idle.append((anyio.current_time(), lane))  # its connection is closed: an empty lane, no more
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Held(response.stream, self, lane)
        return response

    async def _trim(self) -> None:
        stale_at = anyio.current_time() - KEEP_ALIVE_S
        while self._idle and (self._is_closed or len(self._idle) > self._most_idle or self._idle[0][0] < stale_at):
            await self._idle.popleft()[1].aclose()

    def _lane(self) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._context, limits=limits, proxy=self._proxy, trust_env=False)


class _Way:
    """What httpcore's trace hook tells: whether the connection is a new one, and whether sending began."""

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


class _Held(httpx.AsyncByteStream):
    """A body that hands its lane back when it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, lanes: Lanes, lane: httpx.AsyncBaseTransport) -> None:
        self._stream = stream
        self._lanes = lanes
        self._lane = lane

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        # Shielded: a connection that was not closed or handed back would be lost to the pool for ever.
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await self._stream.aclose()
            finally:
                await self._lanes.release(self._lane)


async def _read(response: httpx.Response, reply: Reply) -> None:
    stream, body = response.stream, reply.body
    assert isinstance(stream, httpx.AsyncByteStream)
    assert body is not None
    try:
        async for chunk in stream:
            if not body.feed(chunk):
                return
        body.finish()
    finally:
        await stream.aclose()


def _has_said_more(lane: httpx.AsyncBaseTransport) -> bool:
    """Whether bytes beyond the answer have come in: httpcore would take them for the answer to the next request."""
    assert isinstance(lane, httpx.AsyncHTTPTransport)
    opened = (getattr(each, "_connection", None) for each in lane._pool.connections)
    states = (getattr(each, "_h11_state", None) for each in opened)
    return any(state is not None and state.trailing_data[0] for state in states)
