"""Time as it passes for a process: without what it waited for a core while other programs had them all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import anyio


class Stopwatch:
    """Runs from when it is made. A promise in seconds is the program's, whatever else the machine has to do.

    Only the main thread is known of, and where the kernel counts nothing, it is the time on the wall.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._counted = Path(f"/proc/{pid or os.getpid()}/schedstat")
        self._begun_at = self._now()

    @property
    def seconds(self) -> float:
        return self._now() - self._begun_at

    def _now(self) -> float:
        try:
            waited_ns = int(self._counted.read_text().split()[1])
        except (OSError, IndexError):
            waited_ns = 0
        return time.monotonic() - waited_ns / 1e9


async def until(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    waiting = Stopwatch()
    while not condition():
        assert waiting.seconds < within_s, f"not within {within_s} s"
        await anyio.sleep(0.01)
