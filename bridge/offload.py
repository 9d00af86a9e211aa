"""Where blocking store calls run: one worker thread at a time, in order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

TURN_S: Final = 0.001  # so long a busy loop keeps the interpreter from a worker that wants it; Python has 5 ms


class ThreadOffload:
    """`ports.Offload` on a worker thread. A call that has begun is waited for even by a cancelled caller, so a
    commit is never abandoned half way."""

    def __init__(self) -> None:
        sys.setswitchinterval(TURN_S)  # the process's: a commit takes some ten turns, however many changes it holds
        self._one = anyio.CapacityLimiter(1)  # a SQLite connection serves one thread at a time

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(partial(call, *args), limiter=self._one)
