"""A real HTTP server on 127.0.0.1 whose answers and faults come from a script.

async with loopback(answers(200, b"{}")) as server:
    await client.fetch(Request(method="GET", url=server.url + "/x"), cap_bytes=1000)
assert server.asked[0].target == "/x"
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

GONE = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.DelimiterNotFound,
    OSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it arrived. Header names are in lower case; `connection` counts from 1."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


class Exchange:
    """One request and the socket to answer it on."""

    def __init__(self, asked: Asked, stream: anyio.abc.ByteStream) -> None:
        self.asked = asked
        self.stream = stream

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.stream.send(data)

    async def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a complete answer and keep the connection open."""
        lines = {"Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.raw(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode("latin-1") + body)

    async def close(self) -> None:
        """Close the connection properly."""
        await self.stream.aclose()

    async def reset(self) -> None:
        """Break the connection with a TCP reset."""
        raw = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await anyio.aclose_forcefully(self.stream)

    async def hang(self) -> None:
        """Send nothing until the client disconnects."""
        while True:
            await self.stream.receive()


Script = Callable[[Exchange], Awaitable[None]]
"""What the server does with one request. It may leave the connection open for the next request."""


def answers(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Script:
    """A script that always gives this answer."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, body, headers)

    return script


@dataclass(slots=True)
class Loopback:
    """The running server: its address, its requests, and how many connections it accepted and has open."""

    port: int
    scheme: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@asynccontextmanager
async def loopback(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    """Serve until the block ends, then cancel open requests."""
    listener: anyio.abc.Listener[anyio.abc.ByteStream]
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    server = Loopback(port=tcp.extra(anyio.abc.SocketAttribute.local_port), scheme="https" if tls else "http")
    listener = TLSListener(tcp, tls, standard_compatible=False) if tls else tcp

    async def handle(stream: anyio.abc.ByteStream) -> None:
        server.connections += 1
        server.open_connections += 1
        try:
            await _converse(server, script, stream, server.connections)
        except GONE:
            pass
        finally:
            server.open_connections -= 1
            await anyio.aclose_forcefully(stream)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield server
        group.cancel_scope.cancel()


async def _converse(server: Loopback, script: Script, stream: anyio.abc.ByteStream, connection: int) -> None:
    reader = BufferedByteReceiveStream(stream)
    while True:
        head = (await reader.receive_until(b"\r\n\r\n", 1 << 20)).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.receive_exactly(int(headers.get("content-length", "0")))
        asked = Asked(method=method, target=target, headers=headers, body=body, connection=connection)
        server.asked.append(asked)
        await script(Exchange(asked, stream))
