"""A proxy that opens a tunnel to one port of loopback, whatever host the request names."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import trustme
from anyio.streams.tls import TLSListener

OPENED = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n"


class Proxy:
    """Opens each tunnel to one port, whatever host the request names."""

    def __init__(self, behind: int, said: bytes) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self._behind = behind
        self._said = said

    async def handle(self, near: anyio.abc.ByteStream) -> None:
        async with near:
            try:
                self.heads.append(await near.receive())
                await near.send(self._said)
                async with (
                    await anyio.connect_tcp("127.0.0.1", self._behind) as far,
                    anyio.create_task_group() as group,
                ):
                    group.start_soon(_pump, near, far)
                    await _pump(far, near)
                    group.cancel_scope.cancel()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


async def _pump(there: anyio.abc.ByteStream, here: anyio.abc.ByteStream) -> None:
    try:
        while True:
            await here.send(await there.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


def context_for(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    """The TLS settings of a server for these hosts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


@asynccontextmanager
async def tunnel(behind: int, tls: ssl.SSLContext | None = None, said: bytes = OPENED) -> AsyncIterator[Proxy]:
    proxy = Proxy(behind, said)
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    listener = tcp if tls is None else TLSListener(tcp, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        proxy.port = tcp.extra(anyio.abc.SocketAttribute.local_port)
        group.start_soon(listener.serve, proxy.handle)
        yield proxy
        group.cancel_scope.cancel()
