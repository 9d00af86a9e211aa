"""A few threads for calls that block and may never return.

Daemon threads of our own, one a call: a pool's threads (anyio's too) are waited for when the process exits, so that
one hanging chat service would hold up every stop; and a pool forgets a thread that it gave up, so that they pile up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

T = TypeVar("T")


class NoSeat(Exception):
    """Every thread is still busy with an earlier call; the text says how."""


class NoReturn(Exception):
    """The call has not returned in time. It goes on, and may yet have its effect."""


class Seats:
    """At most `count` calls at once; one that is given up keeps its seat until it really returns."""

    def __init__(self, *, count: int, name: str) -> None:
        self._free: Final = anyio.Semaphore(count)
        self._count = count
        self._given_up = 0
        self._name = name

    async def run(self, work: Callable[[], T], *, timeout_s: float) -> T:
        """The result of `work`, which must not raise, called in a thread.

        Waits at most `timeout_s` for a seat, then as long for the result. NoSeat at once when every seat is held by
        a call that was given up; NoReturn when the time is over. On cancellation the call is given up as well.
        """
        if self._given_up >= self._count:
            raise NoSeat("previous attempts still hang")
        with anyio.move_on_after(timeout_s) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise NoSeat("previous attempts are still running")
        call = _Call(work, self._leave, current_token())
        try:
            threading.Thread(target=call.run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise NoSeat("this machine has no thread left") from error
        try:
            with anyio.move_on_after(timeout_s):
                await call.returned.wait()
        finally:
            if not call.returned.is_set():
                call.is_given_up = True
                self._given_up += 1
        if call.is_given_up:
            raise NoReturn(f"no answer within {timeout_s:g} s; it may still get through")
        return call.result()

    def _leave(self, is_given_up: bool) -> None:
        self._free.release()
        if is_given_up:
            self._given_up -= 1


class _Call(Generic[T]):
    """One call on its way: `run` in the thread, everything else on the event loop."""

    def __init__(self, work: Callable[[], T], leave: Callable[[bool], None], loop: EventLoopToken) -> None:
        self.returned = anyio.Event()
        self.is_given_up = False
        self._work = work
        self._leave = leave
        self._loop = loop
        self._results: list[T] = []

    def run(self) -> None:
        self._results.append(self._work())
        with suppress(RuntimeError):  # the event loop has ended meanwhile: nobody waits
            from_thread.run_sync(self._settle, token=self._loop)

    def result(self) -> T:
        return self._results[0]

    def _settle(self) -> None:
        self.returned.set()
        self._leave(self.is_given_up)
