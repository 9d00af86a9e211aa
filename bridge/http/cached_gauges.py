"""The gauges of the store, read only as often as their cost allows."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from bridge.errors import StoreError
from bridge.ports import Clock
from bridge.store.views import StoreGauges

FRESH_S: Final = 1.0  # the gauges are not read more often ...
MAX_SHARE: Final = 0.05  # ... and reading takes at most this share of the time
WAIT_S: Final = 3.0  # a scrape waits so long for the store; Prometheus gives up after 10 s


class CachedGauges:
    """What `read` returns, read for the first caller and then at least a second apart. `get` works while `run` runs."""

    def __init__(self, read: Callable[[], Awaitable[StoreGauges]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._gauges: StoreGauges | None = None
        self._stale_at = -math.inf
        self._wanted = anyio.Event()
        self._found = anyio.Event()

    async def get(self) -> StoreGauges | None:
        """The gauges; None while the store cannot be read in time."""
        if self._clock.steady() >= self._stale_at:
            self._wanted.set()
            if not await self._clock.wait(self._found, WAIT_S):
                return None
        return self._gauges

    async def run(self) -> None:
        """Read whenever a scrape waits for it, until cancelled. A separate task: a scrape need not wait to the
        end."""
        while True:
            await self._wanted.wait()
            begun_at = self._clock.steady()
            try:
                self._gauges = await self._read()
            except StoreError:
                self._gauges = None
            now = self._clock.steady()
            self._stale_at = now + max(FRESH_S, (now - begun_at) / MAX_SHARE)
            self._found.set()
            self._wanted, self._found = anyio.Event(), anyio.Event()
