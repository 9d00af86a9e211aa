"""Checks files twice a second. Notifications of the system would miss network mounts and overflows of its queue, so the
files would have to be checked in any case."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NoReturn

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.source import SourceTally
from bridge.logs import get_logger
from bridge.ports import Clock

RESCAN_S: Final = 0.5  # the longest time between two checks ...
SLOWEST_S: Final = 2.0  # ... unless a check takes long, such as that of ten thousand files on a network mount ...
SHARE: Final = 20  # ... so that checks take at most a twentieth of the time
MISSING: Final = "the file does not exist; genbridge waits for it"
READY_S: Final = 2.0  # a source that is still reading after this long is reported as started

log = get_logger()

Look = Callable[[], Awaitable[float]]
"""Checks the files once. Returns the seconds until it must be called again."""


class Rescanner:
    """Calls a source's check again and again, at the latest after `RESCAN_S`.

    An OSError of a check is logged, and repetitions are not. It does not end the loop; all other exceptions do. If a
    file in `folder` `may_be_missing`, the source only waits for it, provided that the folder exists.
    """

    def __init__(self, tally: SourceTally, folder: Path, *, clock: Clock, may_be_missing: bool = False) -> None:
        self._tally = tally
        self._folder = folder
        self._clock = clock
        self._may_be_missing = may_be_missing
        self._wake = anyio.Event()
        self._read_once = anyio.Event()
        self._trouble: str | None = None

    async def run(self, look: Look, is_idle: Callable[[], bool], *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Check until canceled. `started()` is called when everything that existed at the start has been read, but
        after `READY_S` at the latest: a long file or a store that cannot be written must not delay the daemon's
        start."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._report, task_status)
            await self._looks(look, is_idle)

    def wake(self) -> None:
        """Check at once."""
        self._wake.set()

    async def _report(self, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self._clock.wait(self._read_once, READY_S)
        task_status.started()

    async def _looks(self, look: Look, is_idle: Callable[[], bool]) -> NoReturn:
        while True:
            begun_at = self._clock.steady()
            wait_s = await self._guarded(look)
            if self._trouble or is_idle():
                self._read_once.set()
            took_s = self._clock.steady() - begun_at
            most_s = max(RESCAN_S, min(SHARE * took_s, SLOWEST_S))
            await self._clock.wait(self._wake, min(max(wait_s, 0.0), most_s))
            self._wake = anyio.Event()

    async def _guarded(self, look: Look) -> float:
        try:
            wait_s = await look()
        except OSError as error:
            reason = error.strerror or str(error)
            if isinstance(error.filename, str):  # it is not a file descriptor
                reason += f": {error.filename}"
            if reason != self._trouble:
                log.warning("source.failed", source=self._tally.source, reason=reason, retry_in_s=RESCAN_S)
            self._trouble = reason
            is_missing = self._may_be_missing and isinstance(error, FileNotFoundError)
            if is_missing and await anyio.to_thread.run_sync(self._folder.is_dir, abandon_on_cancel=True):
                self._tally.waits(MISSING)
            else:
                self._tally.failed(reason, self._clock.now())
            return RESCAN_S
        if self._trouble:
            log.info("source.recovered", source=self._tally.source)
            self._trouble = None
        self._tally.looked(self._clock.now())
        return wait_s
