"""Loads the learned durations when the daemon starts, and exchanges them with the store every 30 seconds."""

from __future__ import annotations

from typing import Final

from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Durations, Offload

log = get_logger()

SAVE_EVERY_S: Final = 30.0  # a crash loses at most this much, which costs only a few polls


class Learning:
    """Exchanges `knowledge` with the store. Nothing waits for it, and a failure of the store does not stop anything."""

    def __init__(self, *, durations: Durations, offload: Offload, clock: Clock) -> None:
        self.knowledge = LearnedDurations()
        self._durations = durations
        self._offload = offload
        self._clock = clock

    async def load(self) -> None:
        """Load the stored durations. StoreError passes through."""
        tables = await self._offload(self._durations.durations)
        for key, table in tables.items():
            if table is None:
                log.warning("durations.ignored", account=key.account, action=key.action)
        self.knowledge.stored(tables)

    async def run(self) -> None:
        """Save until canceled."""
        while True:
            await self._clock.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Add new observations to the store and read those of other daemons. If storing fails, they are kept for the
        next call."""
        fresh = self.knowledge.take_fresh()
        if not fresh:
            return
        try:
            merged = await self._offload(self._durations.learn, fresh)
        except StoreError:
            self.knowledge.put_back(fresh)
        except Exception:
            log.exception("durations.bug")  # a bug in learning must not stop the polls
        else:
            self.knowledge.stored(merged)
