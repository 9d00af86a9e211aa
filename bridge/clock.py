"""The system clock. The only file that reads the time, sleeps, or draws random numbers."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    import anyio


class SystemClock:
    """`ports.Clock` with the machine's clocks.

    `steady()` starts as wall time and then follows the monotonic clock. So schedules ignore a change of the clock, and
    their times can still be stored and compared after a restart. `ahead_s` corrects a wrong machine clock: it is how
    far the correct time is ahead of it.
    """

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s
        self._offset = time.time() - time.monotonic() + ahead_s

    def now(self) -> float:
        return self.steady() if self.ahead_s else time.time()

    def steady(self) -> float:
        return time.monotonic() + self._offset

    def chance(self) -> float:
        return self._random.random()

    @cached_property
    def _random(self) -> random.Random:
        import random  # imported here like the modules below, because quick commands only read the time

        return random.Random()  # noqa: S311 - jitter, not secrecy

    async def sleep(self, seconds: float) -> None:
        import anyio

        await anyio.sleep(seconds)

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        import anyio

        if timeout_s is None:
            await wake.wait()
        else:
            with anyio.move_on_after(timeout_s):
                await wake.wait()
        return wake.is_set()


class FastClock(SystemClock):
    """A system clock that runs `speed` times as fast."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._started_at = super().steady()

    def now(self) -> float:
        return self.steady()

    def steady(self) -> float:
        return self._started_at + (super().steady() - self._started_at) * self._speed

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._speed)

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        return await super().wait(wake, None if timeout_s is None else timeout_s / self._speed)


def pause(seconds: float) -> None:
    """Block this thread. For use where no event loop runs yet."""
    time.sleep(seconds)


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds, as the service manager reads it."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def boot_s() -> float:
    """Seconds since the machine started, including those in which it slept (if the system counts them)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def thread_cpu_us() -> int:
    """CPU time of only this thread, in microseconds."""
    return time.thread_time_ns() // 1000


def http_date() -> str:
    """The current time as an HTTP date."""
    from email.utils import formatdate  # imported here, because quick commands do not need it

    return formatdate(time.time(), usegmt=True)
