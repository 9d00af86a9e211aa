"""Names that are slow to resolve, or never resolve."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import anyio
import pytest

from bridge.net.client import HttpClient, Request, Unanswered
from bridge.net.failure_kinds import Failure


@pytest.mark.parametrize("kind", ["asyncio", "httpx"])
def test_names_that_hang_delay_neither_other_names_nor_the_exit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    released, look_up = threading.Event(), socket.getaddrinfo

    def resolve(host: str, *args: Any, **named: Any) -> Any:
        if named.get("flags") == socket.AI_NUMERICHOST:
            return look_up(host, *args, **named)
        if "hangs" in str(host):
            released.wait(60)
        return look_up("127.0.0.1", *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def connect(port: int) -> None:
        http = HttpClient(timeout_s=60, concurrency=50, kind=kind)

        async def fetch(host: str) -> None:
            found = await http.fetch(Request(method="GET", url=f"http://{host}:{port}"), cap_bytes=9)
            assert isinstance(found, Unanswered)
            assert found.kind is Failure.CONNECT  # nobody listens there

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(fetch, f"hangs-{number}.test")
            await anyio.sleep(0.1)
            with anyio.fail_after(30):
                await fetch("localhost")
                await fetch("127.0.0.1")
            group.cancel_scope.cancel()

    begun_at = time.monotonic()
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            asyncio.run(connect(server.getsockname()[1]))
        assert time.monotonic() - begun_at < 50
    finally:
        released.set()
