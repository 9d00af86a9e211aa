"""The least that a finish can cost: `python -m benchmarks.bare PROVIDER RECEIVER FOLDER TASKS`, with aiohttp and
sqlite3.

Does only what genbridge must do for each finished task: it polls the task, commits the result, sends the webhook and
commits the outcome. A thousand tasks share a commit; 64 requests are in flight. Prints the CPU time of these steps as
JSON; start-up is not counted.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import aiohttp

from benchmarks.loops import HEADERS, cpu_s
from benchmarks.provider import PATH

AT_ONCE: Final = 1000  # tasks in a commit
IN_FLIGHT: Final = 64
TABLES: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE tasks (id TEXT PRIMARY KEY, result TEXT);
    CREATE TABLE deliveries (id TEXT PRIMARY KEY, body TEXT NOT NULL, status INTEGER);
"""

T = TypeVar("T")
R = TypeVar("R")


async def each(act: Callable[[T], Awaitable[R]], items: Iterable[T]) -> Sequence[R]:
    """The results of `act` for every item, with `IN_FLIGHT` calls at the same time."""
    done: list[R] = []
    waiting = iter(items)

    async def work() -> None:
        done.extend([await act(item) for item in waiting])

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work())
    return done


async def finish(provider: str, receiver: str, store: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Do all four steps, for a thousand tasks at a time."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=HEADERS) as session:

        async def polled(task_id: str) -> tuple[str, str]:
            async with session.get(f"{provider}{PATH}{task_id}") as answer:
                data = (await answer.json())["data"]
            assert data["task_status"] == "succeed"
            return task_id, json.dumps(data)

        async def delivered(found: tuple[str, str]) -> tuple[int, str]:
            body = json.dumps({"topic": "task_succeeded", "data": json.loads(found[1])})
            async with session.post(f"{receiver}/hook", data=body) as answer:
                return answer.status, found[0]

        while some := list(islice(ids, AT_ONCE)):
            results = await each(polled, some)
            with store:
                store.executemany("INSERT INTO tasks VALUES (?, ?)", results)
                store.executemany("INSERT INTO deliveries (id, body) VALUES (?, ?)", results)
            outcomes = await each(delivered, results)
            with store:
                store.executemany("UPDATE deliveries SET status = ? WHERE id = ?", outcomes)


def main(provider: str, receiver: str, folder: str, tasks: str) -> None:
    store = sqlite3.connect(Path(folder) / "bare.db")
    store.executescript(TABLES)
    before_s = cpu_s()
    asyncio.run(finish(provider, receiver, store, (f"g0-{place}" for place in range(int(tasks)))))
    print(json.dumps({"cpu_s": cpu_s() - before_s}))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
