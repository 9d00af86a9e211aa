"""Names that are slow to resolve, or never resolve."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import anyio
import httpx
from aiohappyeyeballs import AddrInfoType

from bridge.net.client import shared_context
from bridge.net.connector import Connector, resolved


def test_names_that_hang_delay_neither_other_names_nor_the_exit() -> None:
    released = threading.Event()

    def resolve(host: str, port: int) -> list[AddrInfoType]:
        if host != "localhost":
            released.wait(60)
        return resolved("127.0.0.1", port)

    async def connect(port: int) -> None:
        connector = Connector(context=shared_context(None), proxy=None, resolve=resolve)
        ends_at = asyncio.get_running_loop().time() + 60

        async def open_to(host: str) -> None:
            (await connector.open(httpx.URL(f"http://{host}:{port}"), ends_at)).drop()

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(open_to, f"hangs-{number}.test")
            await anyio.sleep(0.1)
            with anyio.fail_after(30):
                await open_to("localhost")
                await open_to("127.0.0.1")
            group.cancel_scope.cancel()

    begun_at = time.monotonic()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            asyncio.run(connect(server.getsockname()[1]))
        assert time.monotonic() - begun_at < 50
    finally:
        released.set()
