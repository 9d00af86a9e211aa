"""Runs the sources."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.abc

from bridge.engine.recorder import SourceRecorder
from bridge.ports import Clock, Source
from bridge.restarting import keep_running


class SourceRunner:
    """Runs the sources of the current settings. A bug in one source stops neither the others nor the daemon."""

    def __init__(self, *, recorder: SourceRecorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._sources: Sequence[Source] = ()
        self._scopes: list[anyio.CancelScope] = []

    async def replace(self, sources: Sequence[Source], *, daemon: str, group: anyio.abc.TaskGroup) -> None:
        """Stop the running sources and start these in `group`; return when each has been read once. A reading that was
        interrupted is repeated, which adds no task twice. `daemon` is the name under which they are recorded."""
        self.stop()
        self._sources = sources
        await self._recorder.replace_sources([source.tally for source in sources], daemon=daemon)
        first_readings = []
        for source in sources:
            scope, is_read = anyio.CancelScope(), anyio.Event()
            self._scopes.append(scope)
            first_readings.append(is_read)
            group.start_soon(self._run, source, scope, is_read)
        for is_read in first_readings:
            await is_read.wait()

    def stop(self) -> None:
        for scope in self._scopes:
            scope.cancel()
        self._scopes.clear()

    def is_idle(self) -> bool:
        """Whether the sources have handed over all tasks that they have found."""
        return all(source.is_idle() for source in self._sources)

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
