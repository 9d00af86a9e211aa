"""Helpers of source tests: a reader of tasks, a running source, and waits for a condition instead of a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import unquote

import anyio

from bridge.clock import FastClock
from bridge.domain.watch import Wish
from bridge.ports import Source
from bridge.sources.task_reader import TaskReader
from tests.stopwatch import Stopwatch, until

BASE: Final = "https://api.example.com/kling/v1/"
SPEED: Final = 4.0


class QuickClock(FastClock):
    """A fast clock: files settle sooner."""

    def __init__(self) -> None:
        super().__init__(SPEED)


async def pause(seconds: float) -> None:
    """Let `seconds` of the quick clock pass, to see that something does not happen."""
    await anyio.sleep(seconds / SPEED)


def locate(url: str, named: str | None) -> Wish | None:
    """Recognises the query URLs of account `kling`."""
    if not url.startswith(BASE):
        return None
    action, _, task_id = url.removeprefix(BASE).rpartition("/")
    return Wish(account="kling", action=action, task_id=unquote(task_id))


def action_problem(account: str, action: str | None, task_id: str) -> str | None:
    """Every account needs an action of two or three segments."""
    if action is None:
        return "neither the task nor its account has an action"
    return None if re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+){1,2}", action) else "is not a valid action"


def make_reader(**settings: Any) -> TaskReader:
    defaults: dict[str, Any] = {
        "accounts": {"kling": "videos/text2video"},
        "endpoints": ["automation", "chat"],
        "locate": locate,
        "action_problem": action_problem,
    }
    return TaskReader(**defaults | settings)


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[None]:
    """Run the source until the end of the block. Stopping it must not take long."""
    async with anyio.create_task_group() as watching:
        async with anyio.create_task_group() as group:
            with anyio.fail_after(15):
                await group.start(lambda *, task_status: source.run(task_status=task_status))
            yield
            stopping = Stopwatch()
            watching.start_soon(_look_often, stopping)
            group.cancel_scope.cancel()
        took_s = stopping.seconds
        watching.cancel_scope.cancel()
    assert took_s < 1.0


async def _look_often(stopwatch: Stopwatch) -> None:
    """Between two looks, only the longest wait of a thread for a core is left out. A stop needs several threads, one
    after the other."""
    while stopwatch.seconds >= 0.0:
        await anyio.sleep(0.005)


@asynccontextmanager
async def running_idle(source: Source) -> AsyncIterator[None]:
    """Run the source, and wait until it has read everything that is there. On a busy machine, `running` may return
    before that."""
    async with running(source):
        await until(source.is_idle)
        yield
