"""One daemon: owns the tasks of every room, starts and stops them in order, and swaps settings while running.

sources -> intake -> store -> poller -> ledger (one transaction: transition, event, deliveries) -> dispatcher -> sinks
"""

from __future__ import annotations

import math
from typing import Final

import anyio
import anyio.abc

from bridge import collector, wiring
from bridge.config.load import Loaded
from bridge.domain.shares import Share, account_scope, endpoint_scope
from bridge.engine.dispatcher import Dispatcher
from bridge.engine.intake import StoreIntake
from bridge.engine.janitor import Janitor
from bridge.engine.learning import Learning
from bridge.engine.ledger import Ledger
from bridge.engine.lookout import look_out
from bridge.engine.membership import AGAIN_S, Membership
from bridge.engine.poller import Poller
from bridge.errors import LeaseLost, StoreDamaged, StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, News, Offload, Source
from bridge.store import Store
from bridge.store.views import Counts

log = get_logger()

SLICE: Final = 5000  # watches loaded at a time at start
NEWEST: Final = 2**62  # a revision that no store will reach
DRAIN_S: Final = 8.0  # what is in flight may take so long to finish ...
LAST_COMMIT_S: Final = 1.0  # ... and its commits so much longer: with all the rest within the ten seconds promised


class App:
    """One daemon on one store, whose lock the caller holds. `run` until `stop`; `apply` swaps the settings.

    `offload` runs its calls to the store; `lease_offload` those that must not wait for the others.
    """

    def __init__(self, loaded: Loaded, *, store: Store, clock: Clock, offload: Offload, lease_offload: Offload) -> None:
        self.loaded = loaded
        self._store = store
        self._clock = clock
        self._offload = offload
        self._stopping = anyio.Event()
        self._written = anyio.Event()
        self._started = anyio.Event()  # or it never will
        self._is_working = False
        self._revision = 0
        self._ledger = Ledger(
            commits=store,
            watches=store,
            offload=offload,
            clock=clock,
            tell=lambda event: [],
            notes_every_s=store.notes_every_s,
        )
        self._membership = Membership(
            shares=store,
            offload=lease_offload,
            clock=clock,
            name=wiring.member_name(loaded.settings),
            # The lock on a file ends with the process: nothing need be renewed, nor does a stop of a minute end it.
            takeover_s=loaded.settings.sharing.takeover_s if store.is_shared else math.inf,
            worker=self,
        )
        lease = self._membership.lease
        self._learning = Learning(durations=store, offload=offload, clock=clock)
        knowledge = self._learning.knowledge
        self._poller = Poller(ledger=self._ledger, clock=clock, lease=lease, knowledge=knowledge)
        self._dispatcher = Dispatcher(outbox=store, ledger=self._ledger, lease=lease, offload=offload, clock=clock)
        self._ledger.told = self._dispatcher.wake
        self._intake = StoreIntake(watches=store, offload=offload, clock=clock, changed=self._fetch_watches)
        self._janitor = Janitor(store=store, offload=offload, clock=clock, retention=wiring.retention(loaded.settings))
        self._workshop = wiring.Workshop(clock)
        self._sources: list[Source] = []
        self._reading: list[anyio.CancelScope] = []
        self._group: anyio.abc.TaskGroup | None = None

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> bool:
        """Work until `stop`, then finish what is in flight within ten seconds, keep the rest in the store, and return
        True. False when the lease on the store has ended: all work has been dropped as it was, since others may do it
        by now, and a new App must begin anew.

        `started()` once polling and delivering have begun and every source has been read once.
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
                await self._membership.leave()  # nothing is in flight any more
                raise
            except* LeaseLost:
                has_lease = False
                writing.cancel_scope.cancel()
            finally:
                self._stopping.set()
            self._ledger.close()
        if not self._started.is_set():
            self._started.set()
            task_status.started()  # as far as it will ever be
        await self._workshop.close()
        log.info("daemon.stopped")
        return has_lease

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping.set()

    async def apply(self, loaded: Loaded) -> None:
        """Work by these settings from now on; what is in flight finishes under the old ones. ConfigError, and nothing
        has changed, when a proxy, CA file or template cannot be used. After a StoreError call it again. One call at a
        time. When `run` is over, or will be before this is, nothing comes of it."""
        await self._started.wait()
        await self._adopt(loaded)
        if wiring.sources_changed(self.loaded.settings, loaded.settings):
            await self._start_sources(loaded)
        self.loaded = loaded

    def hold(self, held: frozenset[Share], *, daemons: int) -> None:
        """See `membership.Worker`."""
        self._poller.hold(held, daemons=daemons)
        self._dispatcher.hold(held)

    async def load(self) -> None:
        """See `membership.Worker`."""
        self._poller.learn(await self._offload(self._store.accounts))
        # All of it: what is held by now may have been there for long, whatever another fetch has seen meanwhile.
        self._revision = await self._fetch_all()
        await self._fetch_watches()
        await self._dispatcher.refresh()

    async def quiet(self) -> None:
        """See `membership.Worker`."""
        await self._poller.quiet()
        await self._dispatcher.quiet()
        await self._ledger.noted()  # so that whoever goes on with it knows how far we have come

    def give_up(self) -> None:
        """See `membership.Worker`."""
        self._store.give_up()

    def is_idle(self) -> bool:
        """Whether the sources have handed over everything they have seen."""
        return self._started.is_set() and all(source.is_idle() for source in self._sources)

    def can_still_end(self, counts: Counts) -> bool:
        """Whether any live watch belongs to an account of these settings; no other is ever polled."""
        return bool(self.loaded.settings.accounts.keys() & counts.live_by_account.keys())

    def can_still_tell(self, counts: Counts) -> bool:
        """Whether any waiting delivery will be attempted by these settings."""
        served = self.loaded.settings.endpoints.keys() - counts.disabled.keys()
        return bool(served & counts.waiting_by_endpoint.keys())

    async def _start(self, group: anyio.abc.TaskGroup, task_status: anyio.abc.TaskStatus[None]) -> None:
        await group.start(self._dispatcher.run)
        await group.start(self._poller.run)
        self._is_working = True
        await self._begin()
        await group.start(self._membership.run)
        await self._start_sources(self.loaded)
        group.start_soon(self._look_out)
        group.start_soon(self._janitor.run)
        group.start_soon(self._learning.run)
        self._started.set()
        task_status.started()

    async def _begin(self) -> None:
        """A store that others share is waited for; a file that cannot be written, whoever starts us must see."""
        while True:
            try:
                await self._learning.load()
                await self._adopt(self.loaded)
                return
            except StoreDamaged:
                raise
            except StoreError as error:
                if not self._store.is_shared:
                    raise
                log.warning("store.failed", reason=str(error))
                await self._clock.sleep(AGAIN_S)

    async def _adopt(self, loaded: Loaded) -> None:
        """Take part in these settings' accounts and endpoints; which of their work is ours the membership says."""
        # Everything that may be refused is built before anything is changed.
        plans, endpoints = self._workshop.accounts(loaded), self._workshop.endpoints(loaded)
        accounts = await self._offload(self._store.accounts)
        self._poller.configure(plans, accounts)
        self._ledger.tell = wiring.tell(loaded.settings, endpoints)
        self._janitor.keep(wiring.retention(loaded.settings))
        await self._dispatcher.configure(endpoints)
        scopes = {account_scope(name): plan.groups for name, plan in plans.items()}
        scopes |= {endpoint_scope(name): plan.groups for name, plan in endpoints.items()}
        self._membership.serve(scopes)
        await self._workshop.retire(loaded)

    async def _look_out(self) -> None:
        await look_out(
            self._news,
            clock=self._clock,
            every_s=self._store.look_every_s,
            heeds={"work": self._store_changed, "outbox": self._outbox_changed, "members": self._members_changed},
        )

    async def _store_changed(self) -> None:
        self._poller.learn(await self._offload(self._store.accounts))
        await self._fetch_watches()
        await self._dispatcher.refresh()

    async def _news(self) -> News:
        """What a shared store hears it hears by itself: looking takes no thread and no time."""
        return self._store.news() if self._store.is_shared else await self._offload(self._store.news)

    async def _outbox_changed(self) -> None:
        self._dispatcher.wake_all()

    async def _members_changed(self) -> None:
        self._membership.wake()

    async def _fetch_watches(self) -> None:
        """StoreError passes through: whoever was told of a change must call again, or it would never be polled."""
        if not self._revision:
            self._revision = await self._fetch_all()
        self._revision, states = await self._offload(self._store.changed, self._revision)
        self._poller.put(states)

    async def _fetch_all(self) -> int:
        """In slices, so that polls begin after the first; returns the revision from which on the rest is news."""
        revision, _ = await self._offload(self._store.changed, NEWEST)
        collector.clear()  # what the settings before left behind would never be freed
        slices = self._store.live(most=SLICE)
        while states := await self._offload(next, slices, None):
            self._poller.put(states)
        self._poller.loaded()
        return revision

    async def _start_sources(self, loaded: Loaded) -> None:
        """Begin reading anew; what the old readers had under way is read again, which adds nothing twice."""
        self._stop_sources()
        if self._group is None or self._stopping.is_set():
            return
        self._intake.origins = wiring.origins(loaded, is_shared=self._store.is_shared)
        self._sources = wiring.sources(loaded, intake=self._intake, clock=self._clock)
        first_readings = []
        for source in self._sources:
            scope, is_read = anyio.CancelScope(), anyio.Event()
            self._reading.append(scope)
            first_readings.append(is_read)
            self._group.start_soon(self._read, source, scope, is_read)
        for is_read in first_readings:
            await is_read.wait()

    async def _read(self, source: Source, scope: anyio.CancelScope, is_read: anyio.Event) -> None:
        try:
            with scope:
                async with anyio.create_task_group() as reading:
                    await reading.start(source.run)
                    is_read.set()
        finally:
            is_read.set()  # stopped before its first reading was over

    def _stop_sources(self) -> None:
        for scope in self._reading:
            scope.cancel()
        self._reading.clear()

    async def _write(self) -> None:
        try:
            await self._ledger.run()
            await self._membership.leave()  # so that others need not wait for the lease to end
        finally:
            self._written.set()

    async def _give_up_in_time(self) -> None:
        """When the time to stop is over, a store that does not answer keeps nobody waiting."""
        try:
            await self._written.wait()
        except anyio.get_cancelled_exc_class():
            # Also with everything written: the lease may be being renewed.
            if self._group is not None:
                self._group.cancel_scope.cancel()  # first, or whoever waits for its turn would begin to wait anew
            self._store.give_up()
            raise

    async def _drain(self) -> None:
        self._stop_sources()
        self._poller.stop()
        self._dispatcher.stop()
        with anyio.move_on_after(DRAIN_S) as patience:
            await self._poller.finished.wait()
            await self._dispatcher.finished.wait()
            await self._learning.save()
        if patience.cancelled_caught:
            log.warning("daemon.drained", finished=False, seconds=DRAIN_S)
