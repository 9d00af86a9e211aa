"""A value that is read from the store in the background, as often as its cost allows."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import anyio

from bridge.errors import StoreError
from bridge.ports import Clock

T = TypeVar("T")

FRESH_S: Final = 1.0  # the value is not read more often ...
MAX_SHARE: Final = 0.05  # ... and reading takes at most this share of the time
WAIT_S: Final = 3.0  # how long a scrape waits for the store; Prometheus gives up after 10 s


class CachedReading(Generic[T]):
    """The result of `read`. It is read for the first caller, then at least a second apart. `get` works while `run`
    runs.

    `last` is the last result, and `last_at` the steady time of reading it. If the store cannot be read, both stay
    unchanged.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._value: T | None = None
        self._stale_at = -math.inf
        self._wanted = anyio.Event()
        self._found = anyio.Event()
        self.last: T | None = None
        self.last_at = -math.inf

    async def get(self, within_s: float = WAIT_S) -> T | None:
        """The value; None if the store cannot be read in time."""
        if self._clock.steady() >= self._stale_at:
            self._wanted.set()
            if not await self._clock.wait(self._found, within_s):
                return None
        return self._value

    def put(self, value: T) -> None:
        """Use a value that was just read elsewhere."""
        self._value = self.last = value
        self.last_at = self._clock.steady()
        self._stale_at = self.last_at + FRESH_S

    async def run(self) -> None:
        """Read whenever a caller waits for the value, until canceled. This is a separate task, because callers may stop
        waiting before the read ends."""
        while True:
            await self._wanted.wait()
            begun_at = self._clock.steady()
            try:
                self.put(await self._read())
            except StoreError:
                self._value = None
            now = self._clock.steady()
            self._stale_at = now + max(FRESH_S, (now - begun_at) / MAX_SHARE)
            self._found.set()
            self._wanted, self._found = anyio.Event(), anyio.Event()
