"""One daemon: starts and stops its parts in order, and applies new settings while it runs.

sources -> intake -> store -> poller -> write batcher (transition, event and deliveries at once) -> dispatcher -> sinks
"""

from __future__ import annotations

from typing import Final

import anyio
import anyio.abc

from bridge.config.load import Loaded
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.views import Counts
from bridge.engine.store_outage import retrying
from bridge.errors import LeaseLost, StoreDamaged
from bridge.logs import get_logger
from bridge.ports import Sink
from bridge.restarting import keep_running
from bridge.wiring.parts import Parts, sources_changed

log = get_logger()

DRAIN_S: Final = 6.5  # how long work in flight may take to finish when the daemon stops ...
LAST_COMMIT_S: Final = 1.0  # ... and its commits after that; together they stay below the promised ten seconds


class App:
    """One daemon of these parts, on a store that the caller has locked. `run` works until `stop`."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._stopping = anyio.Event()
        self._all_stored = anyio.Event()
        self._started = anyio.Event()  # also set if it will never start
        self._is_working = False
        self._group: anyio.abc.TaskGroup | None = None

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> bool:
        """Work until `stop`, then finish the work in flight within ten seconds, leave the rest in the store, and return
        True.

        Returns False if the lease on the store has ended. Then all work was dropped, because others may do it by now,
        and a new App must be started. `started()` is called once polling and delivering have begun and every source has
        been read once.
        """
        has_lease = True
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._write)
            writing.start_soon(self._give_up_in_time)
            try:
                async with anyio.create_task_group() as self._group:
                    self._group.start_soon(self._start, self._group, task_status)
                    await self._stopping.wait()
                    log.info("daemon.stopping")
                    writing.cancel_scope.deadline = anyio.current_time() + DRAIN_S + LAST_COMMIT_S
                    if self._is_working:
                        await self._drain()
                    self._group.cancel_scope.cancel()
            except* StoreDamaged:
                await self.parts.membership.leave()  # nothing is in flight
                raise
            except* LeaseLost:
                has_lease = False
                writing.cancel_scope.cancel()
            finally:
                self._stopping.set()
            self.parts.writes.close()
        if not self._started.is_set():
            self._started.set()
            task_status.started()  # the start has failed, so its caller must not wait
        await self.parts.builder.aclose()
        log.info("daemon.stopped")
        return has_lease

    def stop(self) -> None:
        """Make `run` finish."""
        self._stopping.set()

    async def apply(self, loaded: Loaded) -> None:
        """Use these settings from now on; work in flight finishes under the old ones. One call at a time. Has no effect
        if `run` has ended, or ends first.

        If a proxy, CA file or template cannot be used, raises ConfigError and changes nothing. After a StoreError, call
        it again.
        """
        await self._started.wait()
        await self.parts.apply(loaded)
        if sources_changed(self.parts.loaded.settings, loaded.settings):
            await self._start_sources(loaded)
        self.parts.loaded = loaded

    def is_idle(self) -> bool:
        """Whether the sources have handed over all tasks that they have found."""
        return self._started.is_set() and self.parts.sources.is_idle()

    def is_working(self) -> bool:
        """Whether every source has been read once, and polls and deliveries run."""
        return self._is_working and self._started.is_set() and not self._stopping.is_set()

    def now(self) -> DaemonNow:
        ahead_s = self.parts.clock.now() - self.parts.clock.steady()
        lease_ended_at, failing_since = self.parts.lease.ended_at, self.parts.writes.failing_since
        return DaemonNow(
            is_working=self.is_working(),
            lease_ended_at=None if lease_ended_at is None else lease_ended_at + ahead_s,
            store_failed_at=None if failing_since is None else failing_since + ahead_s,
            accounts=self.parts.poller.now(),
        )

    async def refresh(self) -> None:
        """Read at once what another part of this process wrote to the store."""
        self.parts.report_change()
        await self.parts.workload.refresh()
        self.parts.dispatcher.wake_all()

    def sink(self, endpoint: str) -> Sink:
        return self.parts.builder.endpoint(endpoint, self.parts.loaded).sink

    def can_progress(self, counts: Counts) -> bool:
        """Whether these settings allow any live watch to be polled, or any waiting delivery to be attempted."""
        waiting = counts.waiting_by_endpoint.keys() - counts.disabled.keys()
        return self.parts.workload.can_progress(counts.live_by_account.keys(), waiting)

    async def _start(self, group: anyio.abc.TaskGroup, task_status: anyio.abc.TaskStatus[None]) -> None:
        parts = self.parts
        await group.start(parts.dispatcher.run)
        await group.start(parts.poller.run)
        self._is_working = True
        if parts.store.is_shared:
            await retrying(self._begin, parts.clock)
        else:
            await self._begin()  # if the file cannot be written, do not start
        await group.start(parts.membership.run)
        await self._start_sources(parts.loaded)
        group.start_soon(parts.follow_news)
        for part in (parts.callback_hints, parts.janitor, parts.keeper, parts.learning, parts.sources):
            group.start_soon(keep_running, type(part).__name__.lower(), part.run, parts.clock)
        self._started.set()
        task_status.started()

    async def _begin(self) -> None:
        await self.parts.learning.load()
        await self.parts.apply(self.parts.loaded)

    async def _start_sources(self, loaded: Loaded) -> None:
        if self._group is None or self._stopping.is_set():
            self.parts.sources.stop()
        else:
            await self.parts.start_sources(loaded, self._group)

    async def _write(self) -> None:
        try:
            await self.parts.writes.run()
            await self.parts.membership.leave()  # so that other daemons do not wait for the lease to end
        finally:
            self._all_stored.set()

    async def _give_up_in_time(self) -> None:
        """When the time to stop is over, no longer wait for a store that does not answer."""
        try:
            await self._all_stored.wait()
        except anyio.get_cancelled_exc_class():
            # Needed even if everything is stored, because the lease may be in renewal.
            if self._group is not None:
                self._group.cancel_scope.cancel()  # first, because a waiting caller would otherwise wait again
            self.parts.store.give_up()
            raise

    async def _drain(self) -> None:
        parts = self.parts
        parts.sources.stop()
        parts.poller.stop()
        parts.dispatcher.stop()
        with anyio.move_on_after(DRAIN_S) as time_limit:
            await parts.poller.finished.wait()
            await parts.dispatcher.finished.wait()
            await parts.learning.save()
            await parts.sources.save()
        if time_limit.cancelled_caught:
            log.warning("daemon.drained", finished=False, seconds=DRAIN_S)
