"""A small HTTP/1.1 server on asyncio. It is fast enough not to distort the measurement; uvicorn would be most of it."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any, Final, Protocol

CONTROL: Final = "/-/"
"""Requests to paths below it come from the benchmark itself. Neither they nor their connections are counted."""


class Site(Protocol):
    """The content of one server."""

    connections: int

    def answer(self, method: str, target: str, body: bytes, headers: bytes) -> tuple[bytes, float]:
        """The whole answer, and how many seconds to wait before it is sent."""

    def control(self, name: str) -> Any:
        """The answer to this control word: a value for JSON, or a future of one."""


def whole(status: str, body: bytes) -> bytes:
    """An answer with its head, as nginx would send it."""
    return (
        f"HTTP/1.1 {status}\r\nServer: nginx\r\nDate: Wed, 01 Jan 2025 00:00:00 GMT\r\n"
        "Content-Type: application/json; charset=utf-8\r\nConnection: keep-alive\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class _Conversation(asyncio.Protocol):
    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen = b""
        self._is_counted = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head, start = self._seen[:end], end + 4
            length = 0
            if not head.startswith(b"GET"):
                for line in head.split(b"\r\n"):
                    if line[:15].lower() == b"content-length:":
                        length = int(line[15:])
                if len(self._seen) < start + length:
                    return
            body, self._seen = self._seen[start : start + length], self._seen[start + length :]
            self._asked(head, body)

    def _asked(self, head: bytes, body: bytes) -> None:
        first, _, headers = head.partition(b"\r\n")
        method, target, _ = first.decode("latin-1").split(" ")
        if target.startswith(CONTROL):
            self._told(self._site.control(target.removeprefix(CONTROL)))
            return
        if not self._is_counted:
            self._is_counted = True
            self._site.connections += 1
        answer, delay_s = self._site.answer(method, target, body, headers)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def _told(self, what: Any) -> None:
        if isinstance(what, asyncio.Future):
            what.add_done_callback(lambda done: self._told(done.result()))
        else:
            self._transport.write(whole("200 OK", json.dumps(what).encode()))


def serve(site: Site, *, port: int) -> None:
    """Print the port and serve until SIGTERM."""
    asyncio.run(_serve(site, port))


async def _serve(site: Site, port: int) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: _Conversation(site), "127.0.0.1", port, backlog=4096, reuse_address=True)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    server.close()
