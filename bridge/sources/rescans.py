"""Decides when files are checked: at once after a notification of the system, and every two seconds in any case.

Notifications alone miss network mounts, overflows of the kernel's queue and names that are not UTF-8. Regular checks
alone would be late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, NoReturn

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.source import SourceTally
from bridge.logs import get_logger
from bridge.ports import Clock

if TYPE_CHECKING:
    from watchfiles import Change

RESCAN_S: Final = 2.0  # the longest time between two checks
MISSING: Final = "the file does not exist; genbridge waits for it"
READY_S: Final = 2.0  # a source that is still reading after this long is reported as started

_STEP_MS: Final = 100  # changes are reported after this long without another one ...
_DEBOUNCE_MS: Final = 300  # ... or at least this often while changes continue
_THREAD_MS: Final = 2000  # how long the notification thread would outlive a lost stop

log = get_logger()

Look = Callable[[], Awaitable[float]]
"""Checks the files once. Returns the seconds until it must be called again."""


class Rescanner:
    """Calls a source's check: at once, after each change of its files, and every `RESCAN_S`.

    `folder` is watched for changes of the entry `name` (None: of any entry). An OSError of a check is logged, and
    repetitions are not. It does not end the loop; all other exceptions do. If the entry `may_be_missing`, the source
    only waits for it, provided that the folder exists.
    """

    def __init__(
        self, tally: SourceTally, folder: Path, name: str | None, *, clock: Clock, may_be_missing: bool = False
    ) -> None:
        self._tally = tally
        self._folder = folder
        self._name = name
        self._clock = clock
        self._may_be_missing = may_be_missing
        self._wake = anyio.Event()
        self._stop = anyio.Event()
        self._read_once = anyio.Event()
        self._trouble: str | None = None

    async def run(self, look: Look, is_idle: Callable[[], bool], *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Check until canceled. `started()` is called when everything that existed at the start has been read, but
        after `READY_S` at the latest: a long file or a store that cannot be written must not delay the daemon's
        start."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen)
            group.start_soon(self._report, task_status)
            try:
                await self._looks(look, is_idle)
            finally:
                self._stop.set()  # cancellation alone does not reach the notification thread

    def wake(self) -> None:
        """Check at once."""
        self._wake.set()

    async def _report(self, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self._clock.wait(self._read_once, READY_S)
        task_status.started()

    async def _looks(self, look: Look, is_idle: Callable[[], bool]) -> NoReturn:
        identity = await self._identity()
        while True:
            wait_s = await self._guarded(look)
            if self._trouble or is_idle():
                self._read_once.set()
            await self._clock.wait(self._wake, min(max(wait_s, 0.0), RESCAN_S))
            self._wake = anyio.Event()
            before, identity = identity, await self._identity()
            if identity != before:
                self._stop.set()  # another folder has this name now, so listen to that one

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
            if is_missing and await self._identity() is not None:
                self._tally.waits(MISSING)
            else:
                self._tally.failed(reason, self._clock.now())
            return RESCAN_S
        if self._trouble:
            log.info("source.recovered", source=self._tally.source)
            self._trouble = None
        self._tally.looked(self._clock.now())
        return wait_s

    async def _listen(self) -> NoReturn:
        """Set `_wake` on notifications. Without notifications, only the checks every `RESCAN_S` find changes."""
        from watchfiles import awatch  # here: a daemon without files to watch saves a megabyte

        while True:
            self._stop = stop = anyio.Event()
            pause_s = 0.0
            try:
                async for _ in awatch(
                    self._folder,
                    watch_filter=self._concerns,
                    debounce=_DEBOUNCE_MS,
                    step=_STEP_MS,
                    rust_timeout=_THREAD_MS,
                    recursive=False,
                    stop_event=stop,
                ):
                    self._wake.set()
            except* OSError:  # the folder does not exist, or the kernel's limit of watches is reached
                pause_s = RESCAN_S
            except* RuntimeError:  # the library fails if a name is not UTF-8
                pause_s = 0.25
            self._wake.set()
            await self._clock.sleep(pause_s)

    def _concerns(self, _: Change, path: str) -> bool:
        return self._name is None or PurePath(path).name == self._name

    async def _identity(self) -> tuple[int, int] | None:
        """Device and inode of the folder."""
        try:
            found = await anyio.to_thread.run_sync(self._folder.stat, abandon_on_cancel=True)
        except OSError:
            return None
        return found.st_dev, found.st_ino
