"""An exchange that is canceled in any phase leaves no socket open on either side."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

from bridge.net.client import Request
from tests.loopback import GONE
from tests.net.pair import client_of
from tests.stopwatch import until

pytestmark = pytest.mark.usefixtures("transport")

Handle = Callable[[anyio.abc.SocketStream], Awaitable[None]]


def _sockets() -> int:
    """The sockets of this process, which has the client and the server."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


async def _drain(stream: anyio.abc.SocketStream) -> None:
    while True:
        await stream.receive()


def _says(data: bytes) -> Handle:
    async def handle(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.send(data)
        await _drain(stream)

    return handle


async def _does_not_read(stream: anyio.abc.SocketStream) -> None:
    await anyio.sleep(0.3)
    await _drain(stream)


async def _opens_a_tunnel(stream: anyio.abc.SocketStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 200 Connected\r\n\r\n")
    await _drain(stream)


async def _answers_a_post(stream: anyio.abc.SocketStream) -> None:
    if (await stream.receive()).startswith(b"POST"):
        await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    await _drain(stream)


@asynccontextmanager
async def _server(handle: Handle) -> AsyncIterator[int]:
    async def served(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            try:
                await handle(stream)
            except GONE:
                pass

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, served)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
PHASES: dict[str, tuple[Handle, str, str, bytes | None]] = {
    "tls": (_drain, "https://127.0.0.1:{}/", "", None),
    "send": (_does_not_read, "http://127.0.0.1:{}/", "", b"x" * (32 << 20)),
    "wait": (_drain, "http://127.0.0.1:{}/", "", None),
    "informational": (_says(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), "http://127.0.0.1:{}/", "", None),
    "head": (_says(HEAD[:-2]), "http://127.0.0.1:{}/", "", None),
    "body": (_says(HEAD + b"half"), "http://127.0.0.1:{}/", "", None),
    "proxy": (_drain, "https://nowhere.invalid/", "http://127.0.0.1:{}", None),
    "tls in a tunnel": (_opens_a_tunnel, "https://nowhere.invalid/", "http://127.0.0.1:{}", None),
    "a kept connection": (_answers_a_post, "http://127.0.0.1:{}/", "", None),
}


@pytest.mark.parametrize(("handle", "url", "proxy", "body"), PHASES.values(), ids=PHASES)
async def test_a_canceled_exchange_leaves_no_socket(handle: Handle, url: str, proxy: str, body: bytes | None) -> None:
    async with _server(handle) as port:
        before = _sockets()
        async with client_of(concurrency=4, proxy=proxy.format(port) or None) as http:
            request = Request(method="GET" if body is None else "POST", url=url.format(port), body=body)
            if handle is _answers_a_post:
                await http.fetch(Request(method="POST", url=request.url, body=b""), cap_bytes=99)

            async def ask(wait_s: float) -> None:
                with anyio.move_on_after(wait_s) as scope:
                    await http.fetch(request, cap_bytes=99)
                assert scope.cancelled_caught

            for _ in range(3):
                async with anyio.create_task_group() as group:
                    for number in range(4):
                        group.start_soon(ask, 0.01 * number)  # also between the phases
            await until(lambda: _sockets() <= before)
            assert _sockets() == before


async def test_an_exchange_canceled_while_it_connects_leaves_no_socket() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(2)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        before = _sockets()
        async with client_of() as http:
            for _ in range(5):
                with anyio.move_on_after(0.05) as scope:
                    await http.fetch(Request(method="GET", url=f"http://127.0.0.1:{port}/"), cap_bytes=9)
                assert scope.cancelled_caught

            assert _sockets() == before
        for each in waiting:
            each.close()
