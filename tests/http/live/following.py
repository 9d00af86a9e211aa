"""A hub on a real store, and followers of its streams, for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from bridge.http.live.live_hub import LiveHub
from bridge.offload import ThreadOffload

T = TypeVar("T")


class CountingOffload(ThreadOffload):
    """Counts the calls to the store."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        self.calls += 1
        return await super().__call__(call, *args)


class Reader:
    """Reads a stream while `may_read` is set."""

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        self.frames = frames
        self.got: list[bytes] = []
        self.is_over = False
        self.may_read = anyio.Event()
        self.may_read.set()

    @property
    def events(self) -> list[bytes]:
        """What was read, without comments."""
        return [data for data in self.got if not data.startswith(b":")]

    async def run(self) -> None:
        try:
            async for data in self.frames:
                self.got.append(data)
                await self.may_read.wait()
        finally:
            self.is_over = True
            await self.frames.aclose()

    async def until(self, count: int) -> list[bytes]:
        with anyio.fail_after(60):
            while len(self.events) < count:
                await anyio.sleep(0.01)
        return self.events


Follow = Callable[[AsyncGenerator[bytes, None]], Awaitable[Reader]]


@asynccontextmanager
async def running(hub: LiveHub) -> AsyncIterator[Follow]:
    """Runs the hub. Yields a function that starts a reader and returns when the stream has begun."""
    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)

        async def follow(frames: AsyncGenerator[bytes, None]) -> Reader:
            reader = Reader(frames)
            group.start_soon(reader.run)
            with anyio.fail_after(60):
                while not reader.got and not reader.is_over:
                    await anyio.sleep(0.005)
            return reader

        yield follow
        group.cancel_scope.cancel()
