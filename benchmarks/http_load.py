"""Sends requests to the API at a fixed rate: `python -m benchmarks.http_load URL RATE`. On SIGTERM it prints, as JSON,
the milliseconds that each answer took by path, and how many requests failed.

Each request starts on time, even if earlier ones are not answered yet.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Final

import aiohttp

PATHS: Final = (
    "/api/v1/tasks?limit=100",
    "/api/v1/tasks?phase=running&q=g1&limit=100",
    "/api/v1/deliveries?limit=100",
    "/api/v1/status",
    "/metrics",
)


class Load:
    """Requests each path in turn."""

    def __init__(self, url: str, rate: float) -> None:
        self._url = url
        self._rate = rate
        self._over = asyncio.Event()
        self._took_ms: dict[str, list[float]] = {path.partition("?")[0]: [] for path in PATHS}
        self._failed = 0

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._over.set)
        print("started", flush=True)
        asking: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(self._url) as session:
            begun_at, place = time.monotonic(), 0
            while not self._over.is_set():
                task = asyncio.create_task(self._ask(session, PATHS[place % len(PATHS)]))
                asking.add(task)
                task.add_done_callback(asking.discard)
                place += 1
                await asyncio.sleep(max(0.0, begun_at + place / self._rate - time.monotonic()))
            if asking:
                await asyncio.wait(asking)
        print(json.dumps({"took_ms": self._took_ms, "failed": self._failed}), flush=True)

    async def _ask(self, session: aiohttp.ClientSession, path: str) -> None:
        begun_at = time.monotonic()
        try:
            async with session.get(path) as answer:
                await answer.read()
        except aiohttp.ClientError:
            self._failed += 1
            return
        self._failed += answer.status != 200
        self._took_ms[path.partition("?")[0]].append((time.monotonic() - begun_at) * 1000)


if __name__ == "__main__":
    asyncio.run(Load(sys.argv[1], float(sys.argv[2])).run())
