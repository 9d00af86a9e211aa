"""A few threads for calls that block and may never return.

Each call gets its own daemon thread. At its exit, a process waits for the threads of a pool (anyio's too), so one
hanging chat service would delay every stop. A pool also loses track of the threads of abandoned calls, so their number
would grow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token

T = TypeVar("T")


class NoThread(Exception):
    """Every thread is still busy with an earlier call. The text describes them."""


class NoFreeThread(NoThread):
    """The machine, or the service, has too many threads."""


class CallThreads:
    """Runs at most `count` calls at once. An abandoned call occupies its thread until it returns."""

    def __init__(self, *, count: int, name: str) -> None:
        self._count = count
        self._busy = 0
        self._name = name

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work`, which must not raise, in a thread, and return its result. Raises NoThread at once if every thread
        is busy. Cancellation abandons the call: it continues, and may still have an effect."""
        if self._busy >= self._count:
            raise NoThread("earlier attempts have not returned yet")
        results: list[T] = []
        returned, token = anyio.Event(), current_token()

        def end() -> None:
            self._busy -= 1
            returned.set()

        def in_thread() -> None:
            results.append(work())
            with suppress(RuntimeError):  # the event loop has ended, so no caller is waiting
                from_thread.run_sync(end, token=token)

        try:
            threading.Thread(target=in_thread, name=self._name, daemon=True).start()
        except RuntimeError as error:
            raise NoFreeThread("this machine has no free thread") from error
        self._busy += 1
        await returned.wait()
        return results[0]
