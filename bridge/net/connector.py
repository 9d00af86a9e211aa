"""Opens connections: name resolution, happy eyeballs, TLS, and tunnels through a proxy.

Requests for the same name within ten seconds share one call of the resolver.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final

import httpx
from aiohappyeyeballs import AddrInfoType, start_connection

from bridge.clock import monotonic_us
from bridge.domain.public_addresses import AllowedHosts
from bridge.net.connection import Connection
from bridge.net.failure_kinds import AddressRefused, ProxyUnreached
from bridge.net.request_head import RequestHead, named_by_tls, request_line
from bridge.net.resolver_threads import RESOLVER_THREADS

READ_BYTES: Final = 16 * 1024
NAMES_KEPT_US: Final = 10_000_000  # how long the addresses of a name are reused
LONGEST_CALL_US: Final = 120_000_000  # how long to wait for one call of the resolver before another is made
MOST_NAMES: Final = 100
NEXT_ADDRESS_AFTER_S: Final = 0.25  # RFC 8305, 5

Found = asyncio.Future[list[AddrInfoType]]
Resolve = Callable[[str, int], list[AddrInfoType]]


def resolved(host: str, port: int, *, flags: int = socket.AI_ADDRCONFIG) -> list[AddrInfoType]:
    """The addresses of a host, as the system resolves it. Blocks."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


class Connector:
    """Opens connections, through `proxy` if there is one. Cancellation leaves no connection open.

    With `allowed`, connections are only made to public addresses and to those. Each address is checked after the name
    was resolved, and the connection is made to exactly that address. The address of the proxy is not checked.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext,
        proxy: httpx.Proxy | None,
        allowed: AllowedHosts | None = None,
        read_bytes: int = READ_BYTES,
        resolve: Resolve = resolved,
    ) -> None:
        self._context = context
        self._proxy = proxy
        self._allowed = allowed
        self._buffer = memoryview(bytearray(read_bytes))  # of all connections, so it stays in the processor's cache
        self._resolve = resolve
        self._proxy_lines = _authorization(proxy)  # for every request that the proxy itself reads
        self._names: dict[tuple[str, int], tuple[int, Found]] = {}

    async def open(self, url: httpx.URL, ends_at: float) -> Connection:
        """A connection to the host of `url`, with TLS for https, at `ends_at` of the loop's clock at the latest.

        Raises httpx.ConnectError with the reason as its cause, or httpx.ProxyError if the proxy refused.
        """
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol("only http and https")
        if self._proxy is not None:
            near = await self._near(self._proxy.url, ends_at)
            if url.scheme == "http":
                return near
        async with asyncio.timeout_at(ends_at):
            try:
                if self._proxy is None:
                    return await self._connected(url, self._allowed)
                return await self._through(near, url, ends_at)
            except (httpx.ProxyError, AddressRefused):
                raise
            except (OSError, httpx.TransportError) as error:
                raise httpx.ConnectError("no connection") from error

    def request(self, method: str, at: httpx.URL, target: bytes, head: RequestHead) -> bytes:
        """A request to the host of `at`, without its body. One that the proxy itself reads names the host, too."""
        if self._proxy is None or at.scheme != "http":
            return request_line(method, target) + head.lines + b"\r\n"
        return request_line(method, b"http://" + at.netloc + target) + head.lines + self._proxy_lines + b"\r\n"

    async def _near(self, proxy: httpx.URL, ends_at: float) -> Connection:
        try:
            async with asyncio.timeout_at(ends_at):
                return await self._connected(proxy)
        except (OSError, httpx.TransportError) as error:
            raise ProxyUnreached("no connection to the proxy") from error

    async def _connected(self, url: httpx.URL, allowed: AllowedHosts | None = None) -> Connection:
        loop, host, tls = asyncio.get_running_loop(), url.raw_host.decode("ascii"), url.scheme == "https"
        addresses = await self._addresses(host, url.port or (443 if tls else 80))
        if allowed is not None:
            addresses = _usable(addresses, host, allowed)
        sock = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S, interleave=1)
        made = await loop.create_connection(
            lambda: Connection(loop, self._buffer),
            sock=sock,
            ssl=self._context if tls else None,
            server_hostname=named_by_tls(url) if tls else None,
        )
        return made[1]

    async def _addresses(self, host: str, port: int) -> list[AddrInfoType]:
        found_at, found = self._names.get((host, port), (0, None))
        age_us = monotonic_us() - found_at
        if found is None or age_us > (NAMES_KEPT_US if found.done() else LONGEST_CALL_US) or _has_failed(found):
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            found = self._looked_up(host, port)
            self._names[host, port] = monotonic_us(), found
        return await asyncio.shield(found)

    def _looked_up(self, host: str, port: int) -> Found:
        """The addresses of a host, once they are known. An address needs no call of the resolver."""
        loop = asyncio.get_running_loop()
        found: Found = loop.create_future()
        found.add_done_callback(_has_failed)  # otherwise its exception is logged if the caller has stopped waiting
        try:
            found.set_result(resolved(host, port, flags=socket.AI_NUMERICHOST))
            return found
        except socket.gaierror:
            pass

        def settle(call: Future[list[AddrInfoType]]) -> None:
            error = call.exception()
            settled = partial(found.set_result, call.result()) if error is None else partial(found.set_exception, error)
            with suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(settled)

        RESOLVER_THREADS.submit(self._resolve, host, port).add_done_callback(settle)
        return found

    async def _through(self, near: Connection, url: httpx.URL, ends_at: float) -> Connection:
        """TLS with the host, inside a tunnel through the proxy."""
        loop, far = asyncio.get_running_loop(), Connection(near.loop, self._buffer)
        target = url.raw_host if b":" not in url.raw_host else b"[%b]" % url.raw_host
        target += b":%d" % (url.port or 443)
        try:
            status, _ = await near.send(
                b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, target, self._proxy_lines), ends_at
            )
            if not 200 <= status < 300:
                raise httpx.ProxyError(str(status))
            assert near.transport is not None
            transport = await loop.start_tls(near.transport, far, self._context, server_hostname=named_by_tls(url))
        except BaseException:
            near.drop()
            raise
        if transport is None:
            raise httpx.ReadError("closed")
        near.rest()
        far.connection_made(transport)
        return far


def _usable(addresses: list[AddrInfoType], host: str, allowed: AllowedHosts) -> list[AddrInfoType]:
    """The addresses to which connections may be made. AddressRefused if none is allowed."""
    judged = [(each, allowed.refusal(host, str(each[4][0]))) for each in addresses]
    usable = [each for each, why in judged if why is None]
    if not usable:
        raise AddressRefused(", ".join(dict.fromkeys(f"{each[4][0]} is {why}" for each, why in judged)))
    return usable


def _has_failed(found: Found) -> bool:
    return found.done() and not found.cancelled() and found.exception() is not None


def _authorization(proxy: httpx.Proxy | None) -> bytes:
    if proxy is None or proxy.raw_auth is None:
        return b""
    return b"Proxy-Authorization: Basic " + base64.b64encode(b":".join(proxy.raw_auth)) + b"\r\n"
