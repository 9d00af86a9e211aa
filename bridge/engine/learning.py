"""What the daemon learns about durations: read at the start, shared with the store every 30 seconds."""

from __future__ import annotations

from typing import Final

from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Durations, Offload

log = get_logger()

SAVE_EVERY_S: Final = 30.0  # losing half a minute of it costs only a few polls


class Learning:
    """Keeps `knowledge` and the store in step. Nothing waits for it, and no failure of the store stops anything."""

    def __init__(self, *, durations: Durations, offload: Offload, clock: Clock) -> None:
        self.knowledge = LearnedDurations()
        self._durations = durations
        self._offload = offload
        self._clock = clock

    async def load(self) -> None:
        """Read what the store knows. StoreError passes through."""
        tables = await self._offload(self._durations.durations)
        for key, table in tables.items():
            if table is None:
                log.warning("durations.ignored", account=key.account, action=key.action)
        self.knowledge.stored(tables)

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            await self._clock.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Add what is new to the store and read what other daemons have added. What cannot be stored is kept."""
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
