"""The workers that send the requests of one account. They sleep while none may be sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.abc

from bridge.ports import Clock


class PollWorkers:
    """`run` sleeps until a request may be sent, then starts workers. A worker sends requests until none is due or
    allowed, so a busy account does not start a task for each poll.

    The account decides what may be sent. All times are steady. `wait_s` returns the seconds until the next request;
    infinity if only `wake` can lead to one. `room` returns how many may be sent at once. `next_request` counts one and
    returns what sends it; None if none may be sent.
    """

    def __init__(
        self,
        *,
        wait_s: Callable[[float], float],
        room: Callable[[float], int],
        next_request: Callable[[float], Coroutine[Any, Any, None] | None],
        clock: Clock,
    ) -> None:
        self.is_stopping = False
        self._wait_s = wait_s
        self._room = room
        self._next_request = next_request
        self._clock = clock
        self._group: anyio.abc.TaskGroup | None = None
        self._starting = 0  # workers that have not begun yet
        self._wake_up = anyio.Event()
        self._sleeps_until = math.inf

    def stop(self) -> None:
        """Send no more requests; `run` returns when all requests in flight are answered."""
        self.is_stopping = True
        self._wake_up.set()

    async def run(self) -> None:
        """Send requests as soon as they are allowed, until canceled or stopped."""
        try:
            async with anyio.create_task_group() as self._group:
                while not self.is_stopping:
                    self._wake_up = anyio.Event()
                    now = self._clock.steady()
                    wait_s = self._wait_s(now)
                    if wait_s <= 0:
                        self._start(self._group, now)
                        wait_s = math.inf  # until the last worker has begun
                    self._sleeps_until = now + wait_s
                    await self._clock.wait(self._wake_up, None if math.isinf(wait_s) else wait_s)
        finally:
            self._group = None  # a change that arrives after a cancellation sends nothing

    def wake(self) -> None:
        """Something has changed: send the requests that are allowed now, and recalculate the sleep."""
        self._wake(self._clock.steady())

    def _wake(self, now: float) -> None:
        wait_s = math.inf if self.is_stopping else self._wait_s(now)
        if wait_s <= 0 and self._group is not None:
            self._start(self._group, now)
        elif now + wait_s < self._sleeps_until:
            self._wake_up.set()

    def _start(self, group: anyio.abc.TaskGroup, now: float) -> None:
        """Start a worker for each request that may be sent now."""
        for _ in range(self._room(now) - self._starting):
            self._starting += 1
            group.start_soon(self._work)

    async def _work(self) -> None:
        self._starting -= 1
        while not self.is_stopping:
            now = self._clock.steady()
            request = self._next_request(now)
            if request is None:
                break
            if not self._starting:
                self._wake(now)
            await request
        self.wake()
