"""Decides when files are checked: at once after a notification of the system, and every two seconds in any case.

Notifications alone miss network mounts and overflows of the kernel's queue. Regular checks alone would be late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.source import SourceTally
from bridge.logs import get_logger
from bridge.ports import Clock
from bridge.sources.folder_notices import FolderNotices

RESCAN_S: Final = 2.0  # the longest time between two checks
READY_S: Final = 2.0  # a source that is still reading after this long is reported as started

_STEP_S: Final = 0.1  # changes within this time lead to one check
_CHANGES: Final = 0xFCE  # written, attributes, closed after writing, moved, created, deleted; also of the folder itself

log = get_logger()

Look = Callable[[], Awaitable[float]]
"""Checks the files once. Returns the seconds until it must be called again."""


class Rescanner:
    """Calls a source's check: at once, after each change of its files, and every `RESCAN_S`.

    `folder` is watched for changes of the entry `name` (None: of any entry). An OSError of a check is logged, and
    repetitions are not. It does not end the loop; all other exceptions do.
    """

    def __init__(self, tally: SourceTally, folder: Path, name: str | None, *, clock: Clock) -> None:
        self._tally = tally
        self._folder = folder
        self._name = name
        self._clock = clock
        self._wake = anyio.Event()
        self._read_once = anyio.Event()
        self._trouble: str | None = None
        self._notices: FolderNotices | None = None

    async def run(self, look: Look, is_idle: Callable[[], bool], *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Check until canceled. `started()` is called when everything that existed at the start has been read, but
        after `READY_S` at the latest: a long file or a store that cannot be written must not delay the daemon's
        start."""
        with suppress(OSError):  # the kernel's limit of users' notifications
            self._notices = FolderNotices(_CHANGES)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen)
                group.start_soon(self._report, task_status)
                await self._looks(look, is_idle)
        finally:
            if self._notices is not None:
                self._notices.close()

    def wake(self) -> None:
        """Check at once."""
        self._wake.set()

    async def _report(self, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self._clock.wait(self._read_once, READY_S)
        task_status.started()

    async def _looks(self, look: Look, is_idle: Callable[[], bool]) -> NoReturn:
        while True:
            await anyio.to_thread.run_sync(self._listen_to_folder, abandon_on_cancel=True)
            wait_s = await self._guarded(look)
            if self._trouble or is_idle():
                self._read_once.set()
            await self._clock.wait(self._wake, min(max(wait_s, 0.0), RESCAN_S))
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
            self._tally.failed(reason, self._clock.now())
            return RESCAN_S
        if self._trouble:
            log.info("source.recovered", source=self._tally.source)
            self._trouble = None
        self._tally.looked(self._clock.now())
        return wait_s

    def _listen_to_folder(self) -> None:
        """Listen to the folder that has this name now. Without one, only the checks every `RESCAN_S` find changes."""
        if self._notices is not None:
            with suppress(OSError):
                self._notices.listen_to(self._folder)

    async def _listen(self) -> None:
        """Set `_wake` on notifications."""
        while self._notices is not None:
            await anyio.wait_readable(self._notices)
            if any(self._name in {None, name} for _, _, name in self._notices.read()):
                self._wake.set()
            await self._clock.sleep(_STEP_S)
