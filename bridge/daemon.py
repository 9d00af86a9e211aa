"""The app as a process: signals, service manager, reload of settings, and the end of `once`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge import __version__, garbage_collector, logs
from bridge.app import App
from bridge.config.load import Loaded
from bridge.domain.source import SETTINGS, SourceTally
from bridge.domain.views import Counts
from bridge.engine.store_outage import StoreOutage
from bridge.errors import ConfigError, StoreDamaged, StoreError, Unavailable
from bridge.liveness import Liveness
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.ports import Clock, StoreObserver
from bridge.redaction import hidden
from bridge.restarting import keep_running
from bridge.service import ServiceManager
from bridge.store import Store, StorePlace
from bridge.wiring.parts import Parts

if TYPE_CHECKING:
    from bridge.http.serving import Bound, HttpServer

log = logs.get_logger()

SETTINGS_EVERY_S: Final = 1.0  # how often to check the settings file
BEAT_EVERY_S: Final = 5.0  # how often to store a sign of life, with a failure of the store
LOG_EVERY_S: Final = 1.0  # how often to report lost log lines
DONE_EVERY_S: Final = 0.2  # how often `once` checks whether it is done
SAME_SIGNAL_S: Final = 0.1  # a second stop signal within this time is ignored, because `timeout` and wrappers send two

BUG_FOUND: Final = "genbridge could not apply the new settings because of a bug; its log has the details"

Stamp = tuple[int, ...] | None


class Daemon:
    """Runs the app until a signal stops it, or with `once` until nothing is left to do. SIGHUP or a change of the
    settings file reloads the settings. If the new file is invalid, the old settings stay in force.

    `seen` is the `stamp` of the settings file before it was first read, so that no change is missed. `beat` is called
    regularly, in a thread, while the daemon works, with the failure of the store, if any.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        store: Store,
        clock: Clock,
        place: StorePlace,
        reread: Callable[[], Loaded],
        seen: Stamp,
        beat: Callable[[str], None] | None = None,
        once: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self._loaded = loaded
        self._store = store
        self._clock = clock
        self._place = place
        self._reread = reread
        self._seen = seen
        self._beat = beat
        self._once = once
        self._timeout_s = timeout_s
        self._outage = StoreOutage(clock)  # shared by everything that uses the store
        self._offload = self._outage.watching(ThreadOffload())
        self._lease_offload = self._outage.watching(ThreadOffload())
        self._metrics = Metrics()
        self._settings_tally = SourceTally(source=SETTINGS, path="", is_listing=True, note=str(loaded.path))
        self._settings_tally.looked(clock.now())
        self._observers: list[StoreObserver] = []
        self._app = self._new_app()
        self._http: HttpServer | None = None
        self._manager = ServiceManager(os.environ)
        self._liveness = Liveness(
            clock=clock,
            answers=partial(self._offload, store.revision),
            syncing=store.is_syncing,
            max_silence_s=self._manager.watchdog_s,
        )
        self._before: Counts | None = None  # the counts before `once` began to work
        self._group: anyio.abc.TaskGroup | None = None
        self._is_stopping = False
        self._must_reload = anyio.Event()  # set by SIGHUP
        self._ended = anyio.Event()
        self._code = 0

    async def run(self) -> int:
        """Run until stopped; returns the exit code of the process."""
        bound = self._prepare_http(self._loaded)
        async with anyio.create_task_group() as group:
            await group.start(self._handle_signals, group.cancel_scope)
            if self._once:
                with suppress(StoreError):  # the app reports it
                    self._before = await self._counts()
            if self._http is not None:
                await group.start(self._http.run, self._loaded, bound)
            self._group = group
            if self._once:
                group.start_soon(self._stop_when_done)  # before the app, which may wait for a shared store
            await group.start(self._run_app)
            if not self._is_stopping:
                self._manager.ready(f"genbridge {__version__}")
                log.info("daemon.ready", version=__version__, settings=str(self._loaded.path), pid=os.getpid())
                group.start_soon(self._liveness.run, self._manager.alive)
                group.start_soon(keep_running, "settings", self._watch_settings, self._clock)
                group.start_soon(self._report_lost_lines)
                if self._beat is not None:
                    group.start_soon(keep_running, "beat", partial(self._show_life, self._beat), self._clock)
            await self._ended.wait()
            group.cancel_scope.cancel()
        if self._http is not None:
            self._http.close()
        return self._code

    async def _run_app(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run the app. If the lease on a shared store was lost, start a new app."""
        while not await self._app.run(task_status=task_status):
            if self._is_stopping:
                break
            log.error("lease.lost", again="this daemon joins again; other daemons may have taken over its shares")
            self._app, task_status = self._new_app(), anyio.TASK_STATUS_IGNORED
            garbage_collector.clear()
        self._ended.set()

    def _new_app(self) -> App:
        parts = Parts(
            self._loaded,
            store=self._store,
            clock=self._clock,
            offload=self._offload,
            lease_offload=self._lease_offload,
            metrics=self._metrics,
            observers=self._observers,
            tallies=[self._settings_tally],
        )
        return App(parts)

    async def _handle_signals(self, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # it was blocked during the start
            task_status.started()
            stopped_at = None
            async for number in signals:
                if number == signal.SIGHUP:
                    self._must_reload.set()  # reload in another task, so that a signal to stop is handled meanwhile
                elif stopped_at is None:
                    self._manager.stopping()
                    self._stop()
                    stopped_at = self._clock.steady()
                elif self._clock.steady() - stopped_at > SAME_SIGNAL_S:
                    self._code = 1
                    scope.cancel()

    async def _show_life(self, beat: Callable[[str], None]) -> None:
        while True:
            if self._liveness.is_alive():
                problem = str(self._outage.failure() or "")
                # Never abandoned, because the lock file is closed at the end.
                await anyio.to_thread.run_sync(beat, problem)
            await self._clock.sleep(BEAT_EVERY_S)

    async def _report_lost_lines(self) -> None:
        while True:
            await self._clock.sleep(LOG_EVERY_S)
            logs.catch_up()

    async def _watch_settings(self) -> None:
        is_due, before = False, self._seen
        while True:
            is_due, self._must_reload = is_due or self._must_reload.is_set(), anyio.Event()
            seen = await anyio.to_thread.run_sync(stamp, self._loaded.path)
            # A file that has changed since the last check may be incomplete: it may lack endpoints and still be valid.
            if is_due or before == seen != self._seen:
                self._seen = seen
                is_due = not await self._reload()
            before = seen
            await self._clock.wait(self._must_reload, SETTINGS_EVERY_S)

    async def _reload(self) -> bool:
        """Reload the settings. False: repeat it, because the store failed, or a new app has replaced the old one."""
        app, is_done = self._app, True
        self._manager.reloading()
        try:
            loaded = await anyio.to_thread.run_sync(self._reread)
            bound = self._prepare_http(loaded)
            try:
                await app.apply(loaded)
            except BaseException:
                if bound is not None:
                    bound.close()
                raise
            await self._apply_http(loaded, bound)
        except (ConfigError, Unavailable) as error:
            problems = str(error).splitlines()
            for problem in problems:
                log.error("settings.invalid", reason=problem, in_force="the old settings")
            self._settings_are_invalid(problems)
        except StoreError:
            is_done = False
        except Exception:
            log.exception("settings.bug", in_force="the old settings")  # the daemon keeps working
            self._settings_are_invalid([BUG_FOUND])
        else:
            self._loaded = loaded
            self._settings_tally.looked(self._clock.now())
            self._metrics.settings_invalid_since = None
            is_done = app is self._app
            if is_done:
                log.info("settings.reloaded", settings=str(loaded.path))
        self._manager.ready(f"genbridge {__version__}")
        return is_done

    def _settings_are_invalid(self, problems: Sequence[str]) -> None:
        """Report this in `status`, on the page and in the metrics until a valid file is loaded."""
        self._settings_tally.invalid([hidden(problem) for problem in problems], self._clock.now())
        self._metrics.settings_invalid_since = self._settings_tally.error_at

    def _prepare_http(self, loaded: Loaded) -> Bound | None:
        """Start to listen according to these settings, or raise Unavailable and change nothing."""
        if self._http is None and loaded.settings.http is not None:
            # Imported here, so that nothing of it is imported without `http:`.
            from bridge.http.services import Services
            from bridge.http.serving import HttpServer

            services = Services(
                settings=lambda: self._loaded,
                app=lambda: self._app,
                place=self._place,
                store=self._store,
                writing=self._offload,
                clock=self._clock,
                metrics=self._metrics,
                is_alive=self._liveness.is_alive,
                store_failure=self._outage.failure,
            )
            self._http = HttpServer(services)
            self._observers.append(self._http.live)
        return None if self._http is None else self._http.prepare(loaded)

    async def _apply_http(self, loaded: Loaded, bound: Bound | None) -> None:
        if self._http is None:
            return
        if not self._http.is_running and self._group is not None:
            await self._group.start(self._http.run, loaded, bound)
        else:
            await self._http.apply(loaded, bound)

    async def _stop_when_done(self) -> None:
        """For `once`: stop when nothing is left that can be done with these settings, or when the time is over."""
        counts, before = None, self._before
        started_at = self._clock.steady()
        while True:
            if self._timeout_s is not None and self._clock.steady() - started_at >= self._timeout_s:
                log.error("once.timed_out", seconds=self._timeout_s)
                self._code = 1
                break
            is_idle = self._app.is_idle()
            counts = await self._counts() or counts
            before = before or counts
            if counts is not None and is_idle and self._app.is_idle() and not self._app.can_progress(counts):
                break
            await self._clock.sleep(DONE_EVERY_S)
        if counts and before:
            # Those that waited before for an endpoint that is no longer in the settings would fail every run.
            left = before.waiting_by_endpoint.keys() - self._loaded.queues
            if counts.live or counts.waiting_by_endpoint.keys() - left:
                log.error("once.unfinished", watches=counts.live, deliveries=counts.waiting)
                self._code = 1
            elif counts.waiting:
                log.warning("once.unfinished", watches=counts.live, deliveries=counts.waiting)
            if counts.dead > before.dead or counts.timed_out > before.timed_out:
                self._code = 1
        self._stop()

    def _stop(self) -> None:
        self._is_stopping = True
        self._app.stop()
        if self._http is not None:
            self._http.stop()

    async def _counts(self) -> Counts | None:
        """The counts of the store; None while a shared store cannot be reached."""
        try:
            return await self._offload(self._store.counts)
        except StoreError as error:
            if not self._store.is_shared or isinstance(error, StoreDamaged):
                raise
            return None


def stamp(path: Path) -> Stamp:
    """A value that changes when the file is changed or replaced; None if it cannot be read."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino, seen.st_dev
