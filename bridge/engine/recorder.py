"""Stores the figures of the sources, for `genbridge status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bridge.domain.source import SourceFacts, SourceTally
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload, SourceRecords

log = get_logger()

SAVE_EVERY_S: Final = 1.0  # if anything has changed
READ_AT_EVERY_S: Final = 60.0  # if only the time of the last reading has changed


class SourceRecorder:
    """Stores the tallies of a daemon's sources, all in one transaction. Nothing waits for it, and a failure of the
    store does not stop anything. `always` are recorded in addition to any sources."""

    def __init__(
        self, *, records: SourceRecords, offload: Offload, clock: Clock, always: Sequence[SourceTally] = ()
    ) -> None:
        self._records = records
        self._offload = offload
        self._clock = clock
        self._always = always
        self._tallies: Sequence[SourceTally] = ()
        self._fresh: Sequence[SourceTally] = ()  # those that do not continue the stored counts yet
        self._stored: dict[tuple[str, str, str], SourceFacts] = {}

    async def replace_sources(self, tallies: Sequence[SourceTally], *, daemon: str) -> None:
        """Record these sources from now on. The last state of the previous ones is stored first."""
        await self.save()
        self._tallies = (*tallies, *self._always)
        for tally in self._tallies:
            tally.daemon = daemon
        self._fresh, self._stored = self._tallies, {}

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            await self._clock.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Store what has changed."""
        try:
            if self._fresh:
                known = {one.key: one for one in await self._offload(self._records.sources)}
                for tally in self._fresh:  # none twice: another call may have done it during the wait
                    if tally.key in known:
                        tally.resume(known[tally.key])
                self._fresh = ()
            now = [tally.facts() for tally in self._tallies]
            if changed := [facts for facts in now if _differs(facts, self._stored.get(facts.key))]:
                await self._offload(self._records.record_sources, changed)
                self._stored.update({one.key: one for one in changed})
        except StoreError:
            return  # stored by the next save
        except Exception:
            log.exception("source.bug")  # a bug in something that is only displayed must not stop the work


def _differs(facts: SourceFacts, stored: SourceFacts | None) -> bool:
    if stored is None or replace(facts, read_at=stored.read_at) != stored:
        return True
    return facts.read_at is not None and facts.read_at - (stored.read_at or 0.0) >= READ_AT_EVERY_S
