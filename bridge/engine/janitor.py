"""Deletes old data in small groups, so that the store does not grow forever."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import anyio

from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload

log = get_logger()

FIRST_S: Final = 60.0  # after the start, because starting has more urgent work
EVERY_S: Final = 600.0
MIN_EVERY_S: Final = 1.0
SLICE: Final = 500  # rows per transaction
PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPeriods:
    """How long finished watches, accepted deliveries and dead deliveries are kept, in seconds."""

    ended_s: float = 30 * 86_400.0
    delivered_s: float = 7 * 86_400.0
    dead_s: float = 90 * 86_400.0

    @property
    def shortest_s(self) -> float:
        return min(self.ended_s, self.delivered_s, self.dead_s)


class Prunable(Protocol):
    """What the janitor needs from the store."""

    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        """Delete at most about `limit` rows that have been kept long enough. Returns the number of deleted rows."""


class Janitor:
    """Deletes old data every ten minutes, first a minute after the start. It runs more often if the retention period is
    shorter, so that nothing is kept for twice the period. It also runs at once when the period changes."""

    def __init__(self, *, store: Prunable, offload: Offload, clock: Clock, retention: RetentionPeriods) -> None:
        self._retention = retention
        self._store = store
        self._offload = offload
        self._clock = clock
        self._changed = anyio.Event()

    def keep(self, retention: RetentionPeriods) -> None:
        """Use this retention from now on."""
        if retention != self._retention:
            self._retention = retention
            self._changed.set()

    async def run(self) -> None:
        """Delete until canceled."""
        await self._wait(FIRST_S)
        while True:
            self._changed = anyio.Event()
            await self.clean()
            await self._wait(EVERY_S)

    async def _wait(self, most_s: float) -> None:
        await self._clock.wait(self._changed, min(most_s, max(self._retention.shortest_s, MIN_EVERY_S)))

    async def clean(self) -> None:
        """Delete until nothing is left to delete. Ends early if the store fails."""
        kept, gone = self._retention, 1
        while gone:
            prune = partial(
                self._store.prune,
                # If the wall clock was set ahead, data must not count as old because of it.
                now=min(self._clock.now(), self._clock.steady()),
                ended_s=kept.ended_s,
                delivered_s=kept.delivered_s,
                dead_s=kept.dead_s,
                limit=SLICE,
            )
            try:
                gone = await self._offload(prune)
            except Exception as error:
                if not isinstance(error, StoreError):
                    log.exception("cleaning.bug")  # a bug in cleaning must not stop the work
                return  # the next cleaning tries again
            if gone:
                await self._clock.sleep(PAUSE_S)
