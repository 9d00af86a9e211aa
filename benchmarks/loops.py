"""What people write instead of genbridge: `python -m benchmarks.loops httpx|aiohttp URL IN_FLIGHT SECONDS TASKS`.

IN_FLIGHT workers poll one task after the other, without a pause. The httpx loop is the usual script: a default
client that parses the answer and checks the status. The aiohttp loop only reads the body. Prints polls and CPU of
the measured time as JSON; start-up and warm-up are not counted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import httpx

HEADERS = {"Authorization": "Bearer a-key", "Content-Type": "application/json"}
Ask = Callable[[str], Awaitable[None]]


async def by_httpx(measured: Callable[[Ask], Awaitable[None]]) -> None:
    async with httpx.AsyncClient() as client:

        async def ask(url: str) -> None:
            answer = await client.get(url, headers=HEADERS)
            answer.raise_for_status()
            assert answer.json()["data"]["task_status"] == "processing"

        await measured(ask)


async def by_aiohttp(measured: Callable[[Ask], Awaitable[None]]) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(url: str) -> None:
            async with session.get(url, headers=HEADERS) as answer:
                await answer.read()

        await measured(ask)


async def measure(ask: Ask, *, url: str, in_flight: int, seconds: float, tasks: int) -> None:
    polls, warm_up_s = 0, min(0.5, seconds)
    numbers = itertools.cycle(range(tasks))
    begun_at = time.monotonic()

    async def work() -> None:
        nonlocal polls
        while time.monotonic() < begun_at + warm_up_s + seconds:
            await ask(f"{url}r{next(numbers)}")
            polls += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
        await asyncio.sleep(warm_up_s)
        polls_before, cpu_before = polls, cpu_s()
    print(json.dumps({"polls": polls - polls_before, "cpu_s": cpu_s() - cpu_before}))


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(way: str, url: str, in_flight: str, seconds: str, tasks: str) -> None:
    async def measured(ask: Ask) -> None:
        await measure(ask, url=url, in_flight=int(in_flight), seconds=float(seconds), tasks=int(tasks))

    asyncio.run({"httpx": by_httpx, "aiohttp": by_aiohttp}[way](measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
