"""Values that are read from the store as often as their cost allows (`next_count_at`)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import anyio

from bridge.control.overview import COUNT_SHARE, Overview, next_count_at, overview
from bridge.control.store_now import StoreNow
from bridge.domain.task import LIVE
from bridge.errors import StoreError
from bridge.ports import Clock

T = TypeVar("T")

UNREADABLE_EVERY_S: Final = 60.0
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
        self._stale_at = next_count_at(self.last_at, self.last_at)

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
            self._stale_at = next_count_at(begun_at, self._clock.steady())
            self._found.set()
            self._wanted, self._found = anyio.Event(), anyio.Event()


class RecentOverview:
    """Caches the rows that cannot be read for a minute, because finding them reads every live row. Caches the number of
    finished tasks, the unchecked answers and the failing polls if reading them would take more than a twentieth of the
    time. So in a small store, a task that has just finished is never missing in both numbers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unreadable: Sequence[str] = ()
        self._stale_at = self._count_at = -math.inf
        self._counted: dict[str, Any] = {}  # arguments of `overview`

    def read(self, at: StoreNow) -> Overview:
        """The status of this store. Called through `Services.ask`, which makes one call at a time."""
        if self._clock.steady() >= self._stale_at:
            self._unreadable = at.store.unreadable()
            self._stale_at = self._clock.steady() + UNREADABLE_EVERY_S
        begun_at = self._clock.steady()
        counted = self._counted if begun_at < self._count_at else {}
        found = overview(at, unreadable=self._unreadable, **counted)
        if not counted:
            finished = {phase: count for phase, count in found.counts.watches.items() if phase not in LIVE}
            self._counted = {"over": finished, "unchecked": found.unchecked, "failing_polls": found.failing_polls}
            now = self._clock.steady()
            self._count_at = now + COUNT_SHARE * (now - begun_at)
        return found
