"""Whether the daemon works: its event loop runs, and its store answers. The watchdog and `/healthz` both use this."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from bridge.errors import StoreError
from bridge.metrics import Histogram
from bridge.ports import Clock

MAX_SILENCE_S: Final = 60.0  # used without a watchdog, which has its own limit
LAG_EVERY_S: Final = 0.5  # how often to measure the event loop's lag


class Liveness:
    """Calls `answers` several times within `max_silence_s`. The daemon counts as alive unless none of these calls has
    returned for that long.

    A StoreError counts as an answer. A slow sync to disk (`syncing`) is tolerated, because a restart makes no disk
    faster.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        answers: Callable[[], Awaitable[object]],
        syncing: Callable[[], bool],
        max_silence_s: float | None,
    ) -> None:
        self._clock = clock
        self._answers = answers
        self._syncing = syncing
        self._max_silence_s = max_silence_s or MAX_SILENCE_S
        self._answered_at = math.inf  # until `run` begins

    def is_alive(self) -> bool:
        """Whether event loop and store have answered recently. True until `run` begins."""
        return self._clock.steady() - self._answered_at <= self._max_silence_s

    async def run(self, alive: Callable[[], None]) -> None:
        """Call `alive` after each answer, until canceled. Then wait for the call to `answers` that runs in a thread."""
        self._answered_at = self._clock.steady()
        # A separate task, because a timeout cannot cancel a call in a thread.
        async with anyio.create_task_group() as group:
            while True:
                answered = anyio.Event()
                group.start_soon(_call, self._answers, answered)
                timeout_s = self._max_silence_s / 2
                while not await self._clock.wait(answered, timeout_s):
                    if self._syncing():
                        self._heard(alive)
                    timeout_s = self._max_silence_s / 4
                self._heard(alive)
                await self._clock.sleep(self._max_silence_s / 4)

    def _heard(self, alive: Callable[[], None]) -> None:
        self._answered_at = self._clock.steady()
        alive()


async def _call(answers: Callable[[], Awaitable[object]], answered: anyio.Event) -> None:
    try:
        await answers()
    except StoreError:
        pass  # the thread works, and the engine already logs the failure
    answered.set()


async def measure_loop_lag(lag_s: Histogram, clock: Clock) -> None:
    """Measure how late the event loop is, until canceled."""
    while True:
        planned_at = clock.steady() + LAG_EVERY_S
        await clock.sleep(LAG_EVERY_S)
        lag_s.observe(clock.steady() - planned_at)
