"""Times that tests can limit even on a busy machine: the time of a process, and the CPU time of a call."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import anyio

Result = TypeVar("Result")


class Stopwatch:
    """The time since it was made, without the time in which the process waited for a core.

    Its main thread may wait for another thread that waits for a core. So of all threads, the one counts that has waited
    longest since the last look. If the kernel does not count their waits, this is the plain elapsed time.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._threads = Path(f"/proc/{pid or os.getpid()}/task")
        self._seconds = 0.0
        self._looked_at, self._waited_s = time.monotonic(), self._waits()

    @property
    def seconds(self) -> float:
        now, waited_s = time.monotonic(), self._waits()
        longest_s = max((s - self._waited_s.get(thread, 0.0) for thread, s in waited_s.items()), default=0.0)
        self._seconds += max(now - self._looked_at - longest_s, 0.0)
        self._looked_at, self._waited_s = now, waited_s
        return self._seconds

    def _waits(self) -> dict[str, float]:
        """How long each thread has waited for a core since it was started."""
        found = {}
        for counted in self._threads.glob("*/schedstat"):
            with suppress(OSError, IndexError):  # the thread has ended
                found[counted.parent.name] = int(counted.read_text().split()[1]) / 1e9
        return found


async def until(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Wait until the condition holds. AssertionError if it does not in time.

    A slow condition is checked less often.
    """
    waiting = Stopwatch()
    while True:
        begun = time.thread_time()
        if condition():
            return
        took_s = time.thread_time() - begun
        assert waiting.seconds < within_s, f"not within {within_s} s"
        await anyio.sleep(min(max(0.01, 2 * took_s), 1.0))


TIMES = 5


def within_cpu_s(bound_s: float, call: Callable[[], Result]) -> Result:
    """What `call` returns. AssertionError if each of five runs takes `bound_s` or more of this thread's CPU time.

    One slow run proves little. Garbage collection in a large test process may take longer than the call, and another
    program on the same core makes it slower. Slow code is slow in every run.
    """
    spent: list[float] = []
    for _ in range(TIMES):
        with_collector = gc.isenabled()
        gc.disable()
        began = time.thread_time()
        try:
            result = call()
        finally:
            spent.append(time.thread_time() - began)
            if with_collector:
                gc.enable()
        if spent[-1] < bound_s:
            return result
    raise AssertionError(f"took {min(spent):.3f} s of CPU time at best; {bound_s} s are allowed")
