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
        self._daemon = ""
        self._tallies: Sequence[SourceTally] = ()
        self._before: dict[tuple[str, str], SourceFacts] | None = None  # the stored facts about these sources
        self._stored: dict[tuple[str, str], SourceFacts] = {}

    async def replace_sources(self, tallies: Sequence[SourceTally], *, daemon: str) -> None:
        """Record these sources from now on. The last state of the previous ones is stored first."""
        await self.save()
        self._tallies = (*tallies, *self._always)
        self._daemon, self._before, self._stored = daemon, None, {}

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            await self._clock.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Store what has changed."""
        try:
            if self._before is None and self._tallies:
                known = await self._offload(self._records.sources)
                self._before = {(one.source, one.path): one for one in known if one.daemon == self._daemon}
            changed = self._changed()
            if changed:
                await self._offload(self._records.record_sources, changed)
                self._stored.update({(one.source, one.path): one for one in changed})
        except StoreError:
            return  # stored by the next save
        except Exception:
            log.exception("source.bug")  # a bug in something that is only displayed must not stop the work

    def _changed(self) -> list[SourceFacts]:
        found = []
        for tally in self._tallies:
            key = tally.source, tally.path
            facts = tally.facts(self._daemon, (self._before or {}).get(key))
            stored = self._stored.get(key)
            if stored is None or _differs(facts, stored):
                found.append(facts)
        return found


def _differs(facts: SourceFacts, stored: SourceFacts) -> bool:
    if replace(facts, read_at=stored.read_at) != stored:
        return True
    return facts.read_at is not None and facts.read_at - (stored.read_at or 0.0) >= READ_AT_EVERY_S
