"""The app as a process: signals, the service manager, settings that change, and knowing when all has been told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge import __version__, collector, logs
from bridge.app import App
from bridge.config.load import Loaded
from bridge.errors import ConfigError, StoreDamaged, StoreError
from bridge.offload import ThreadOffload
from bridge.ports import Clock
from bridge.service import ServiceManager
from bridge.store import Store
from bridge.store.views import Counts

log = logs.get_logger()

LOOK_EVERY_S: Final = 1.0  # at the settings file
TOLD_EVERY_S: Final = 0.2  # how often `once` looks whether everything has been told
ECHO_S: Final = 0.1  # so soon after the first signal to stop another is the same wish: `timeout` and wrappers send two


Stamp = tuple[int, int, int] | None


class Daemon:
    """Runs the app until a signal stops it, or (`once`) until everything is told. SIGHUP and a changed settings file
    make it read its settings again; an invalid file leaves the old settings in force.

    `seen` is the settings file's `stamp` from before the start, so that no change meanwhile is missed."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        store: Store,
        clock: Clock,
        reread: Callable[[], Loaded],
        seen: Stamp,
        once: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self._loaded = loaded
        self._store = store
        self._clock = clock
        self._reread = reread
        self._seen = seen
        self._once = once
        self._timeout_s = timeout_s
        self._offload = ThreadOffload()
        self._lease_offload = ThreadOffload()
        self._app = self._new_app()
        self._manager = ServiceManager(os.environ)
        self._is_stopping = False
        self._asked = anyio.Event()  # to read the settings again, by SIGHUP
        self._ended = anyio.Event()
        self._code = 0

    async def run(self) -> int:
        """Returns the process's exit code."""
        async with anyio.create_task_group() as group:
            await group.start(self._heed_signals, group.cancel_scope)
            await group.start(self._run_app)
            if not self._is_stopping:
                self._manager.ready(f"genbridge {__version__}")
                log.info("daemon.ready", version=__version__, settings=str(self._loaded.path), pid=os.getpid())
                group.start_soon(self._keep_alive)
                group.start_soon(self._heed_settings)
                if self._once:
                    group.start_soon(self._until_told)
            await self._ended.wait()
            group.cancel_scope.cancel()
        return self._code

    async def _run_app(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run it, and begin anew whenever the lease on a shared store was lost."""
        while not await self._app.run(task_status=task_status):
            log.error("lease.lost", again="this daemon begins anew; what it held, others may have taken over")
            self._app, task_status = self._new_app(), anyio.TASK_STATUS_IGNORED
            collector.clear()
            if self._is_stopping:
                break
        self._ended.set()

    def _new_app(self) -> App:
        return App(
            self._loaded,
            store=self._store,
            clock=self._clock,
            offload=self._offload,
            lease_offload=self._lease_offload,
        )

    async def _heed_signals(self, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # blocked while the process started
            task_status.started()
            stopped_at = None
            async for number in signals:
                if number == signal.SIGHUP:
                    self._asked.set()  # by another task: while a reload lasts, a signal to stop must be heard
                elif stopped_at is None:
                    self._is_stopping = True
                    self._manager.stopping()
                    self._app.stop()
                    stopped_at = self._clock.steady()
                elif self._clock.steady() - stopped_at > ECHO_S:
                    self._code = 1
                    scope.cancel()

    async def _keep_alive(self) -> None:
        async def store_answers() -> None:
            await self._offload(self._store.ping)

        await self._manager.keep_alive(clock=self._clock, answers=store_answers, syncing=self._store.is_syncing)

    async def _heed_settings(self) -> None:
        is_owed = False
        while True:
            is_owed, self._asked = is_owed or self._asked.is_set(), anyio.Event()
            seen = await anyio.to_thread.run_sync(stamp, self._loaded.path)
            if is_owed or seen != self._seen:
                self._seen = seen
                is_owed = not await self._reload()
            await self._clock.wait(self._asked, LOOK_EVERY_S)

    async def _reload(self) -> bool:
        """Read the settings again; False when that is to be done once more: the store could not be read or written, or
        another app works by now than took them over."""
        app, is_done = self._app, True
        self._manager.reloading()
        try:
            loaded = await anyio.to_thread.run_sync(self._reread)
            await app.apply(loaded)
        except ConfigError as error:
            for problem in error.problems:
                log.error("settings.invalid", reason=problem, in_force="the old settings")
        except StoreError as error:
            log.warning("store.failed", reason=str(error))
            is_done = False
        else:
            self._loaded = loaded
            is_done = app is self._app
            if is_done:
                log.info("settings.reloaded", settings=str(loaded.path))
        self._manager.ready(f"genbridge {__version__}")
        return is_done

    async def _until_told(self) -> None:
        """`once`: stop when every watch has ended and everything is told, or cannot by these settings, or when the time
        is over."""
        counts = before = None
        started_at = self._clock.steady()
        while True:
            if self._timeout_s is not None and self._clock.steady() - started_at >= self._timeout_s:
                log.error("once.timed_out", seconds=self._timeout_s)
                self._code = 1
                break
            idle = self._app.is_idle()
            counts = await self._counts() or counts
            before = before or counts
            if counts is not None and idle and self._app.is_idle() and not self._can_go_on(counts):
                break
            await self._clock.sleep(TOLD_EVERY_S)
        if counts and (counts.live or counts.waiting):
            log.error("once.unfinished", watches=counts.live, deliveries=counts.waiting)
            self._code = 1
        if counts and before and (counts.dead > before.dead or counts.timed_out > before.timed_out):
            self._code = 1
        self._app.stop()

    async def _counts(self) -> Counts | None:
        """None while a store that others share cannot be reached."""
        try:
            return await self._offload(self._store.counts)
        except StoreError as error:
            if not self._store.is_shared or isinstance(error, StoreDamaged):
                raise
            log.debug("store.failed", reason=str(error))
            return None

    def _can_go_on(self, counts: Counts) -> bool:
        return self._app.can_still_end(counts) or self._app.can_still_tell(counts)


def stamp(path: Path) -> Stamp:
    """What differs when a file has been changed or replaced; None when it cannot be looked at."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
