"""Runs blocking store calls in a worker thread, one at a time, in order."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from bridge.errors import StoreError

T = TypeVar("T")

NO_THREAD: Final = "can't start new thread"  # what Python says if the machine or the service has too many
TURN_S: Final = 0.001  # how long a busy event loop may delay a worker thread; Python's default is 5 ms
M_ARENA_MAX: Final = -8  # of mallopt(3)


class ThreadOffload:
    """`ports.Offload` with a worker thread. Even a canceled caller waits for a call that has begun, so no commit is
    abandoned halfway. StoreError if the machine has no free thread."""

    def __init__(self) -> None:
        # Both for the whole process. Threads switch about ten times during a commit of any size.
        sys.setswitchinterval(TURN_S)
        # glibc makes up to eight heaps per core, and gives back little of them: 70 MB after ten minutes of work.
        if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
            mallopt(M_ARENA_MAX, 2)
        self._one = anyio.CapacityLimiter(1)  # a SQLite connection serves one thread at a time

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        try:
            return await anyio.to_thread.run_sync(partial(call, *args), limiter=self._one)
        except RuntimeError as error:
            if str(error) != NO_THREAD:
                raise
            raise StoreError("this machine has no free thread for the store; end other programs") from error
