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
from bridge.net.exchange import Message, Reply
from bridge.net.failures import NO_ANSWER
from bridge.net.head import request_line
from bridge.net.reader import Reader

KEEP_ALIVE_US: Final = 15_000_000  # idle connections are kept so long
NO_LIMITS: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class Connections:
    """`Transport`: as many connections as requests at once; at most `most_idle` of them wait for the next request.

    Callers bound their own concurrency. The connection used last is used next, so surplus ones grow stale and are
    closed. A GET that meets a kept-alive connection the other side has just closed is asked again on a new one, once.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._context = context
        self._most_idle = most_idle
        self._proxy = proxy
        self._proxy_lines = _authorization(proxy)
        self._connector: aiohttp.TCPConnector | None = None  # needs a running loop
        self._idle: defaultdict[str, deque[tuple[int, Connection]]] = defaultdict(deque)
        self._is_closed = False

    async def exchange(self, message: Message, reply: Reply, *, timeout_s: float) -> None:
        """See `Transport.exchange`."""
        sent = self._lines(message) + message.body
        ends_at = asyncio.get_running_loop().time() + timeout_s
        connection = self._kept(message.origin)
        if connection is not None:
            try:
                return await self._converse(connection, message.origin, sent, reply, ends_at)
            except NO_ANSWER:
                if message.method != "GET" or reply.body is not None:
                    raise
        async with asyncio.timeout_at(ends_at):
            opened = await self._opened(message.at)
        await self._converse(opened, message.origin, sent, reply, ends_at)

    async def aclose(self) -> None:
        """Close what is idle, and what is under way as soon as it ends."""
        self._is_closed = True
        for idle in self._idle.values():
            self._trim(idle)

    def _release(self, origin: str, connection: Connection) -> None:
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

    def _kept(self, origin: str) -> Connection | None:
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

    def _lines(self, message: Message) -> bytes:
        if self._proxy is not None and message.at.scheme == "http":
            target = b"http://" + message.at.netloc + message.target
            return request_line(message.method, target) + message.head.lines + self._proxy_lines + b"\r\n"
        return request_line(message.method, message.target) + message.head.lines + b"\r\n"

    async def _opened(self, url: httpx.URL) -> Connection:
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

    async def _converse(self, connection: Connection, origin: str, sent: bytes, reply: Reply, ends_at: float) -> None:
        """Send, and hear what is said to it; then the connection waits for the next request or is closed."""
        reader = connection.protocol
        assert isinstance(reader, Reader)
        try:
            reply.begin(*await reader.ask(sent, ends_at))
            body = reply.body
            assert body is not None
            while chunk := await reader.more():
                if not body.feed(chunk):
                    return
            body.finish()
        finally:
            self._release(origin, connection)


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
