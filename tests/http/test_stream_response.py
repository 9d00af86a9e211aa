"""What a stream does when a client leaves or does not read."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from starlette.types import Message

from bridge.http import stream_routes
from bridge.http.stream_routes import _StreamResponse
from bridge.net.served_connection import ABORT


class Client:
    """The server's side of one connection."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads
        self.gone = anyio.Event()
        self.sent: list[Message] = []
        self.scope = {"type": "http", "extensions": {ABORT: {"abort": self.gone.set}}}

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self.reads and len(self.sent) == 3:
            await anyio.sleep_forever()
        self.sent.append(message)

    async def follow(self, frames: AsyncGenerator[bytes, None]) -> None:
        with anyio.fail_after(10):
            response = _StreamResponse(frames, b"opening\n")
            await response(self.scope, self.receive, self.send)


class Frames:
    """A stream that records whether it is over."""

    def __init__(self, count: int | None) -> None:
        self.count = count
        self.is_over = False

    async def follow(self) -> AsyncGenerator[bytes, None]:
        try:
            number = 0
            while self.count is None or number < self.count:
                number += 1
                yield b"%d" % number
                await anyio.sleep(0.01)
        finally:
            self.is_over = True


async def test_a_stream_that_ends_ends_the_answer() -> None:
    client, frames = Client(reads=True), Frames(2)
    await client.follow(frames.follow())
    start, *bodies = client.sent
    assert dict(start["headers"])[b"content-type"] == b"text/event-stream"
    assert b"content-length" not in dict(start["headers"])
    assert [(message["body"], message["more_body"]) for message in bodies] == [
        (b"opening\n", True),
        (b"1", True),
        (b"2", True),
        (b"", False),
    ]


async def test_a_burst_ends_when_the_client_leaves() -> None:
    client = Client(reads=True)

    async def burst() -> AsyncGenerator[bytes, None]:
        for number in range(100):
            if number == 3:
                client.gone.set()
            yield b"%d" % number

    await client.follow(burst())
    assert len(client.sent) < 10


async def test_a_client_that_leaves_ends_its_stream() -> None:
    client, frames = Client(reads=True), Frames(None)
    async with anyio.create_task_group() as group:
        group.start_soon(client.follow, frames.follow())
        await anyio.sleep(0.1)
        assert not frames.is_over
        client.gone.set()
    assert frames.is_over


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_routes, "SEND_S", 0.1)
    client, frames = Client(reads=False), Frames(None)
    await client.follow(frames.follow())
    assert client.gone.is_set()
    assert frames.is_over
