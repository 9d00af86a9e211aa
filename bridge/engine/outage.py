"""Patience with a store that cannot be written now: disk full, an I/O error, a lock held too long."""

from __future__ import annotations

from typing import Final

from bridge.domain.backoff import growing_s
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock

log = get_logger()

FIRST_S: Final = 0.5
MOST_S: Final = 10.0  # so that work goes on well within 30 s of the store's recovery


class Outage:
    """Counts one user's failures in a row; says so once when they begin and once when they end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0

    @property
    def lasts(self) -> bool:
        """Whether the last call failed."""
        return self._failures > 0

    async def wait(self, error: StoreError) -> None:
        """Wait before the next try: half a second, growing to ten."""
        self._failures += 1
        if self._failures == 1:
            log.error("store.failed", reason=str(error))
        chance = self._clock.chance()
        await self._clock.sleep(growing_s(self._failures, first_s=FIRST_S, most_s=MOST_S, chance=chance))

    def over(self) -> None:
        """A call succeeded."""
        if self._failures:
            log.info("store.recovered", failures=self._failures)
        self._failures = 0
