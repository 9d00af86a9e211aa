"""The fast transport: connections of aiohttp, without its client.

aiohttp's connector opens connections (names, happy eyeballs, TLS, proxies); `Reader` reads answers off them. What
aiohttp's session does beside that (cookies, redirects, rewriting of addresses, building of requests) is neither wanted
here nor cheap: without it an exchange costs a third. It speaks asyncio alone; elsewhere the stock transport serves.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import aiohttp
import httpx
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from bridge.clock import monotonic_us
from bridge.net.failures import NO_ANSWER
from bridge.net.head import Head, request_line
from bridge.net.reader import Reader

KEEP_ALIVE_US: Final = 15_000_000  # idle connections are kept so long
NO_LIMITS: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)

Origin = tuple[bytes, bytes, int | None]


class Connections(httpx.AsyncBaseTransport):
    """As many connections as there are requests at once; at most `most_idle` of them wait for the next request.

    Callers bound their own concurrency. The extension `timeout: {total: seconds}` of a request is its deadline, body
    included: TimeoutError then. The connection used last is used next, so surplus ones
    grow stale and are closed. A GET that meets a kept-alive connection the other side has just closed is asked again
    on a new one, once.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._context = context
        self._most_idle = most_idle
        self._proxy = proxy
        self._proxy_lines = _authorization(proxy)
        self._connector: aiohttp.TCPConnector | None = None  # needs a running loop
        self._idle: defaultdict[Origin, deque[tuple[int, Connection]]] = defaultdict(deque)
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        origin = url.raw_scheme, url.raw_host, url.port
        message = self._head(request) + await request.aread()
        ends_at = asyncio.get_running_loop().time() + request.extensions["timeout"]["total"]
        connection = self._kept(origin)
        if connection is not None:
            try:
                return await self._ask(connection, message, origin, ends_at)
            except NO_ANSWER:
                if request.method != "GET":
                    raise
        async with asyncio.timeout_at(ends_at):
            opened = await self._opened(request)
        return await self._ask(opened, message, origin, ends_at)

    async def aclose(self) -> None:
        """Close what is idle, and what is under way as soon as it ends."""
        self._is_closed = True
        for idle in self._idle.values():
            self._trim(idle)

    def release(self, origin: Origin, connection: Connection) -> None:
        """Take a connection back whose exchange is over, however it ended."""
        reader = connection.protocol
        if not isinstance(reader, Reader) or not reader.rest():
            return _drop(connection)
        idle = self._idle[origin]
        idle.append((monotonic_us(), connection))
        self._trim(idle)

    def _trim(self, idle: deque[tuple[int, Connection]]) -> None:
        stale_at = monotonic_us() - KEEP_ALIVE_US
        while idle and (self._is_closed or len(idle) > self._most_idle or idle[0][0] < stale_at):
            _drop(idle.popleft()[1])

    def _kept(self, origin: Origin) -> Connection | None:
        """An idle connection on which nothing has been heard since: what came unasked is no answer of ours."""
        idle = self._idle.get(origin)
        while idle:
            put_at, connection = idle.pop()
            protocol = connection.protocol
            is_fresh = monotonic_us() - put_at < KEEP_ALIVE_US
            if is_fresh and protocol is not None and protocol.is_connected() and not protocol.should_close:
                return connection
            _drop(connection)
        return None

    def _head(self, request: httpx.Request) -> bytes:
        target = request.url.raw_path
        headers = request.headers if isinstance(request.headers, Head) else Head(request.headers)
        if self._proxy is not None and request.url.scheme == "http":
            target = b"http://" + request.url.netloc + target
            return request_line(request.method, target) + headers.lines + self._proxy_lines + b"\r\n"
        return request_line(request.method, target) + headers.lines + b"\r\n"

    async def _opened(self, request: httpx.Request) -> Connection:
        url = request.url
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol("only http and https")
        if self._connector is None:
            resolver = aiohttp.ThreadedResolver()
            self._connector = aiohttp.TCPConnector(limit=0, resolver=resolver)
            made = partial(Reader, loop=asyncio.get_running_loop())
            self._connector._factory = made  # type: ignore[assignment]  # a subclass of what aiohttp itself puts there
        asked = ClientRequest(
            "GET",
            URL(f"{url.scheme}://{url.netloc.decode('ascii')}/", encoded=True),
            loop=asyncio.get_running_loop(),
            ssl=self._context,
            proxy=None if self._proxy is None else URL(str(self._proxy.url), encoded=True),
            proxy_headers=_proxy_headers(self._proxy),
        )
        try:
            return await self._connector.connect(asked, [], NO_LIMITS)
        except aiohttp.ClientHttpProxyError as error:
            raise httpx.ProxyError(f"{error.status}") from None
        except (aiohttp.ClientError, HttpProcessingError) as error:
            cause = error.__cause__ or error  # what aiohttp wraps says it better
        raise httpx.ConnectError("no connection") from cause

    async def _ask(self, connection: Connection, message: bytes, origin: Origin, ends_at: float) -> httpx.Response:
        """Send and wait for status line and headers."""
        reader = connection.protocol
        assert isinstance(reader, Reader)
        try:
            status, headers = await reader.ask(message, ends_at)
        except BaseException:
            _drop(connection)
            raise
        return httpx.Response(status, headers=headers, stream=_Content(reader, self, origin, connection))


class _Content(httpx.AsyncByteStream):
    """A body; closing it hands its connection back, or closes that when the body has not ended."""

    def __init__(self, reader: Reader, owner: Connections, origin: Origin, connection: Connection) -> None:
        self._reader = reader
        self._owner = owner
        self._origin = origin
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._reader.more()
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        self._owner.release(self._origin, self._connection)


def _drop(connection: Connection) -> None:
    """Close at once: a TLS connection would first wait half a minute for the other side to take leave."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _authorization(proxy: httpx.Proxy | None) -> bytes:
    if proxy is None or proxy.raw_auth is None:
        return b""
    return b"Proxy-Authorization: Basic " + base64.b64encode(b":".join(proxy.raw_auth)) + b"\r\n"


def _proxy_headers(proxy: httpx.Proxy | None) -> CIMultiDict[str] | None:
    name, _, value = _authorization(proxy).decode("ascii").strip().partition(": ")
    return CIMultiDict([(name, value)]) if name else None
