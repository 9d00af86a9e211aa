"""The system clock: the only file that reads time, sleeps, or draws chance."""

from __future__ import annotations

import random
import time
from email.utils import formatdate

import anyio


class SystemClock:
    """`ports.Clock` on the machine's clocks.

    `steady()` starts as wall time and then follows the monotonic clock, so schedules neither storm nor freeze when
    somebody sets the clock, and yet can be stored and compared after a restart. `ahead_s`: so far the clock that counts
    is ahead of this machine's, which is wrong.
    """

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._offset = time.time() - time.monotonic() + ahead_s
        self._is_wrong = bool(ahead_s)
        self._chance = random.Random()  # noqa: S311 - jitter, not secrecy

    def now(self) -> float:
        return self.steady() if self._is_wrong else time.time()

    def steady(self) -> float:
        return time.monotonic() + self._offset

    def chance(self) -> float:
        return self._chance.random()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        if timeout_s is None:
            await wake.wait()
        else:
            with anyio.move_on_after(timeout_s):
                await wake.wait()
        return wake.is_set()


def pause(seconds: float) -> None:
    """Block this thread: for who has no event loop yet."""
    time.sleep(seconds)


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds, as the service manager reads it."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def http_date() -> str:
    """The present second as HTTP writes it."""
    return formatdate(time.time(), usegmt=True)
