"""A few threads for calls that block and may never return.

Each call gets its own daemon thread. At its exit, a process waits for the threads of a pool (anyio's too), so one
hanging chat service would delay every stop. A pool also loses track of the threads of abandoned calls, so their number
would grow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token

T = TypeVar("T")


class NoThread(Exception):
    """Every thread is still busy with an earlier call. The text describes them."""


class CallTimeout(Exception):
    """The call did not return in time. It continues, and may still have an effect."""


class CallThreads:
    """Runs at most `count` calls at once. An abandoned call occupies its thread until it returns."""

    def __init__(self, *, count: int, name: str) -> None:
        self._free: Final = anyio.Semaphore(count)
        self._count = count
        self._abandoned = 0
        self._name = name

    async def run(self, work: Callable[[], T], *, timeout_s: float) -> T:
        """Run `work`, which must not raise, in a thread, and return its result.

        Waits at most `timeout_s` for a thread, then as long for the result. Raises NoThread at once if abandoned calls
        occupy every thread, and CallTimeout if the result is late. Cancellation abandons the call, too.
        """
        if self._abandoned >= self._count:
            raise NoThread("previous attempts still hang")
        with anyio.move_on_after(timeout_s) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise NoThread("previous attempts are still running")
        call: _Call[T] = _Call()
        token = current_token()

        def in_thread() -> None:
            call.results.append(work())
            with suppress(RuntimeError):  # the event loop has ended, so no caller is waiting
                from_thread.run_sync(self._returned, call, token=token)

        try:
            threading.Thread(target=in_thread, name=self._name, daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise NoThread("this machine has no thread left") from error
        try:
            with anyio.move_on_after(timeout_s):
                await call.returned.wait()
        finally:
            if not call.returned.is_set():
                call.is_abandoned = True
                self._abandoned += 1
        if call.is_abandoned:
            raise CallTimeout(f"no answer within {timeout_s:g} s; the message may still arrive")
        return call.results[0]

    def _returned(self, call: _Call[T]) -> None:
        call.returned.set()
        self._free.release()
        if call.is_abandoned:
            self._abandoned -= 1


class _Call(Generic[T]):
    """One call. Its thread only uses `results`."""

    def __init__(self) -> None:
        self.returned = anyio.Event()
        self.is_abandoned = False
        self.results: list[T] = []
