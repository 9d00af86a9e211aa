"""What is learned of durations: read at the start, shared with the store now and then."""

from __future__ import annotations

from typing import Final

from bridge.domain.durations.knowledge import Knowledge
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Durations, Offload

log = get_logger()

SAVE_EVERY_S: Final = 30.0  # losing what was learned in half a minute costs nothing but a few polls


class Learning:
    """Keeps `knowledge` and the store alike. Nothing waits for it, and no failure of the store stops anything."""

    def __init__(self, *, durations: Durations, offload: Offload, clock: Clock) -> None:
        self.knowledge = Knowledge()
        self._durations = durations
        self._offload = offload
        self._clock = clock

    async def load(self) -> None:
        """Know what the store knows. StoreError passes through."""
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
        """Add what is new to the store, and hear what other daemons have added. What cannot be written is kept."""
        fresh = self.knowledge.take_fresh()
        if not fresh:
            return
        try:
            merged = await self._offload(self._durations.learn, fresh)
        except StoreError as error:
            self.knowledge.put_back(fresh)
            log.debug("store.failed", reason=str(error))  # the ledger says so aloud
        except Exception:
            # The edge: a fault of ours in learning must not stop the polls.
            log.exception("durations.bug")
        else:
            self.knowledge.stored(merged)
