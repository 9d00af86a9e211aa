"""Keeps the store from growing: what has been kept long enough goes, in slices that stall nobody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import anyio

from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload

log = get_logger()

FIRST_S: Final = 60.0  # a start has more urgent things to do
EVERY_S: Final = 600.0
OFTENEST_S: Final = 1.0
SLICE: Final = 500  # rows in one transaction
PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept, in seconds: ended watches, accepted deliveries, dead letters."""

    ended_s: float = 30 * 86_400.0
    delivered_s: float = 7 * 86_400.0
    dead_s: float = 90 * 86_400.0

    @property
    def shortest_s(self) -> float:
        """The shortest of them."""
        return min(self.ended_s, self.delivered_s, self.dead_s)


class Prunable(Protocol):
    """What the janitor asks of the store."""

    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        """Delete at most about `limit` rows that have been kept long enough; returns how many went."""


class Janitor:
    """Prunes every ten minutes, the first time a minute after the start; more often where less than that is kept, so
    that nothing is kept for twice its time, and at once when something else is to be kept."""

    def __init__(self, *, store: Prunable, offload: Offload, clock: Clock, retention: Retention) -> None:
        self._retention = retention
        self._store = store
        self._offload = offload
        self._clock = clock
        self._changed = anyio.Event()

    def keep(self, retention: Retention) -> None:
        """Keep things so long from now on."""
        if retention != self._retention:
            self._retention = retention
            self._changed.set()

    async def run(self) -> None:
        """Clean for ever."""
        await self._wait(FIRST_S)
        while True:
            self._changed = anyio.Event()
            await self.clean()
            await self._wait(EVERY_S)

    async def _wait(self, most_s: float) -> None:
        await self._clock.wait(self._changed, min(most_s, max(self._retention.shortest_s, OFTENEST_S)))

    async def clean(self) -> int:
        """Prune until nothing is left to prune; returns how many rows went. A failing store ends it early."""
        total = 0
        kept = self._retention
        while True:
            prune = partial(
                self._store.prune,
                # A wall clock that was set ahead makes nothing old.
                now=min(self._clock.now(), self._clock.steady()),
                ended_s=kept.ended_s,
                delivered_s=kept.delivered_s,
                dead_s=kept.dead_s,
                limit=SLICE,
            )
            try:
                gone = await self._offload(prune)
            except StoreError as error:
                log.warning("store.failed", reason=str(error))
                return total
            total += gone
            if gone == 0:
                return total
            await self._clock.sleep(PAUSE_S)
