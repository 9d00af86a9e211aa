"""Runs the sources, and stores their figures for `genbridge status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import anyio
import anyio.abc

from bridge.domain.source import SETTINGS, SourceFacts, SourceTally
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload, Source, SourceRecords
from bridge.restarting import keep_running

log = get_logger()

SAVE_EVERY_S: Final = 1.0  # if anything has changed
READ_AT_EVERY_S: Final = 60.0  # if only the time of the last reading has changed


class SourceRunner:
    """Runs the sources of the current settings. A bug in one source stops neither the others nor the daemon.

    Their tallies are stored together in one transaction, with those of `always`. Nothing waits for it, and a failure of
    the store does not stop anything.
    """

    def __init__(
        self, *, records: SourceRecords, offload: Offload, clock: Clock, always: Sequence[SourceTally] = ()
    ) -> None:
        self._records = records
        self._offload = offload
        self._clock = clock
        self._always = always
        self._sources: Sequence[Source] = ()
        self._scopes: list[anyio.CancelScope] = []
        self._tallies: Sequence[SourceTally] = ()
        self._fresh: Sequence[SourceTally] = ()  # those that do not continue the stored counts yet
        self._stored: dict[tuple[str, str, str], SourceFacts] = {}

    async def replace(self, sources: Sequence[Source], *, daemon: str, group: anyio.abc.TaskGroup) -> None:
        """Stop the running sources and start these in `group`; return when each has been read once. A reading that was
        interrupted is repeated, which adds no task twice. `daemon` is the name under which they are recorded.

        Starts nothing if `group` ends meanwhile."""
        self.stop()
        self._sources = sources
        await self.record([source.tally for source in sources], daemon=daemon)
        if group.cancel_scope.cancel_called:
            return
        first_readings = []
        for source in sources:
            scope, is_read = anyio.CancelScope(), anyio.Event()
            self._scopes.append(scope)
            first_readings.append(is_read)
            group.start_soon(self._run, source, scope, is_read)
        for is_read in first_readings:
            await is_read.wait()

    async def record(self, tallies: Sequence[SourceTally], *, daemon: str) -> None:
        """Store these tallies from now on. The last state of the previous ones is stored first."""
        await self.save()
        self._tallies = (*tallies, *self._always)
        for tally in self._tallies:
            tally.daemon = daemon
        self._fresh, self._stored = self._tallies, {}

    def stop(self) -> None:
        """Stop the sources; `run` continues."""
        for scope in self._scopes:
            scope.cancel()
        self._scopes.clear()

    def is_idle(self) -> bool:
        """Whether the sources have handed over all tasks that they have found."""
        return all(source.is_idle() for source in self._sources)

    async def run(self) -> None:
        """Save the tallies until canceled."""
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

    async def _run(self, source: Source, scope: anyio.CancelScope, is_read: anyio.Event) -> None:
        async def read() -> None:
            try:
                async with anyio.create_task_group() as reading:
                    await reading.start(source.run)
                    is_read.set()
            finally:
                is_read.set()  # also after a bug, or when stopped before the first reading was complete

        with scope:
            await keep_running(type(source).__name__.lower(), read, self._clock)


def _differs(facts: SourceFacts, stored: SourceFacts | None) -> bool:
    if stored is None or facts.source == SETTINGS:  # settings are read only when they change
        return facts != stored
    if replace(facts, read_at=stored.read_at) != stored:
        return True
    return facts.read_at is not None and facts.read_at - (stored.read_at or 0.0) >= READ_AT_EVERY_S
