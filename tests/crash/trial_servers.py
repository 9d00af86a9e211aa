"""The servers of the archive trial. They have wrong, expiring and endless results, behind a proxy that cuts and
stalls."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

BLOCK: Final = 1 << 20
HEAD: Final = b"\x00\x00\x00\x18ftypmp42"
PAGE: Final = b"<!doctype html><html><body>Please sign in</body></html>"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HONEST: Final = ("plain", "page first", "short first", "unresumable", "changes", "busy")
NEVER: Final = ("endless", "expired", "always a page")  # results of these kinds must never be copied


@dataclass(frozen=True)
class Film:
    """One result: how its server behaves, and its bytes, which are generated while they are sent."""

    name: str
    manner: str
    size: int
    seed: int

    def block(self, number: int) -> bytes:
        """The bytes of one block. No other block of any film has the same bytes."""
        mark = hashlib.sha256(f"{self.seed} {number}".encode()).digest()
        body = _noise(self.seed % 8)
        first = HEAD if number == 0 else b""
        whole = first + mark + body[len(mark) + len(first) :]
        return whole[: max(0, min(BLOCK, self.size - number * BLOCK))]

    def sent(self, start: int) -> Iterator[bytes]:
        number = start // BLOCK
        while number * BLOCK < self.size:
            block = self.block(number)
            yield block[start - number * BLOCK :] if number == start // BLOCK else block
            number += 1

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self.sent(0):
            digest.update(block)
        return digest.hexdigest()


_MADE: Final[dict[int, bytes]] = {}


def _noise(number: int) -> bytes:
    if number not in _MADE:
        _MADE[number] = random.Random(number).randbytes(BLOCK)
    return _MADE[number]


@dataclass
class Origin:
    """The server of all films. `asked` counts the requests for each."""

    films: dict[str, Film]
    asked: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await self._answer(writer, head)
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, head: str) -> None:
        film = self.films[head.split(" ")[1].rpartition("/")[2]]
        self.asked[film.name] += 1
        count = self.asked[film.name]
        manner = film.manner
        if manner == "expired":
            return await self._send(writer, "410 Gone", b"gone")
        if manner == "busy" and count % 2:
            return await self._send(writer, "503 Service Unavailable", b"busy", "Retry-After: 1\r\n")
        if manner == "always a page" or (manner == "page first" and count <= 2):
            return await self._send(writer, "200 OK", PAGE, "Content-Type: video/mp4\r\n")
        etag = f'"v{count // 4 if manner == "changes" else 1}"'
        found = re.search(r"\r\nrange: bytes=(\d+)-", head, re.IGNORECASE)
        start = int(found[1]) if found and f"if-range: {etag}" in head.lower() and manner != "unresumable" else 0
        await self._send_film(writer, film, start, "" if manner == "unresumable" else f"ETag: {etag}\r\n", count)

    async def _send(self, writer: asyncio.StreamWriter, status: str, body: bytes, more: str = "") -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async def _send_film(self, writer: asyncio.StreamWriter, film: Film, start: int, more: str, count: int) -> None:
        is_short = film.manner == "short first" and count <= 2
        if film.manner != "endless":
            more += f"Content-Length: {film.size - start + (4096 if is_short else 0)}\r\n"
        if start:
            more += f"Content-Range: bytes {start}-{film.size - 1}/{film.size}\r\n"
        status = "206 Partial Content" if start else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: video/mp4\r\n{more}\r\n".encode())
        for block in film.sent(start):
            writer.write(block)
            await writer.drain()
            self.sent_bytes += len(block)


@dataclass
class CuttingProxy:
    """Forwards connections, but cuts some in the middle and pauses in others."""

    port: int
    luck: random.Random
    most_bytes: int  # the cut or the pause comes after at most this many bytes
    stall_s: float
    events: Counter[str] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self.luck.choices(("pass", "cut", "stall"), (5, 4, 1))[0]
        left = self.luck.randrange(1, self.most_bytes)
        inner, outer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                outer.write(await reader.readuntil(b"\r\n\r\n"))
                while data := await inner.read(256 << 10):
                    if fate != "pass" and (left := left - len(data)) <= 0:
                        self.events[fate] += 1
                        if fate == "cut":
                            break
                        fate = "pass"
                        await asyncio.sleep(self.stall_s)
                    writer.write(data)
                    await writer.drain()
        finally:
            outer.transport.abort()
            writer.transport.abort() if fate == "cut" else writer.close()


@dataclass
class FlakyProxy:
    """Forwards connections to a server for uploads. It cuts some in the middle of an upload, and answers 503 to others
    itself."""

    port: int
    luck: random.Random
    most_bytes: int
    events: Counter[str] = field(default_factory=Counter)
    is_calm: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = "pass" if self.is_calm else self.luck.choices(("pass", "cut", "503"), (4, 3, 2))[0]
        self.events[fate] += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if fate == "503":
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    await writer.drain()
                else:
                    await self._pass_on(
                        reader, writer, self.luck.randrange(1, self.most_bytes) if fate == "cut" else None
                    )
        finally:
            writer.transport.abort() if fate == "cut" else writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(_copied(inner, writer, None))
        try:
            await _copied(reader, outer, left)
            if left is None:
                await back
        finally:
            back.cancel()
            outer.transport.abort()
            await asyncio.gather(back, return_exceptions=True)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    """Copy until the end, or until this many bytes were read."""
    while data := await reader.read(64 << 10):
        left = None if left is None else left - len(data)
        if left is not None and left <= 0:
            return
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@contextmanager
def in_thread(*handlers: Handler) -> Iterator[list[int]]:
    """The ports of servers on loopback with these handlers. The servers run in a thread of their own."""
    ports: list[int] = []
    is_ready, stop, loops = threading.Event(), asyncio.Event(), list[asyncio.AbstractEventLoop]()

    held: set[asyncio.Task[None] | None] = set()  # because the event loop has only weak references to its tasks

    def holding(handler: Handler) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.add(task := asyncio.current_task())
            try:
                await handler(reader, writer)
            finally:
                held.discard(task)

        return handle

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        servers = [await asyncio.start_server(holding(each), "127.0.0.1", 0, limit=BLOCK) for each in handlers]
        ports.extend(server.sockets[0].getsockname()[1] for server in servers)
        is_ready.set()
        await stop.wait()
        for server in servers:
            server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:  # a connection may have arrived since then
            for each in others:
                each.cancel()
            await asyncio.wait(others, timeout=1.0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert is_ready.wait(30)
    try:
        yield ports
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(30)
