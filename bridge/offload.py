"""Where blocking store calls run: one worker thread at a time, in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class ThreadOffload:
    """`ports.Offload` on a worker thread. A call that has begun is waited for even by a cancelled caller, so a
    commit is never abandoned half way."""

    def __init__(self) -> None:
        self._one = anyio.CapacityLimiter(1)  # a SQLite connection serves one thread at a time

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(partial(call, *args), limiter=self._one)
