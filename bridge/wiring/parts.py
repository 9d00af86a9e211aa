"""Builds the parts of one daemon and connects them. `app.py` runs what is built here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from anyio.abc import TaskGroup

from bridge.archive.keeper import Keeper
from bridge.config.load import Loaded
from bridge.config.model import Settings
from bridge.domain.source import SourceKind, SourceTally, origin
from bridge.domain.store_key import KeyPurpose
from bridge.engine.callback_hints import CallbackHints
from bridge.engine.discovery import Discovery, forget
from bridge.engine.dispatcher import Dispatcher, parcels_by
from bridge.engine.janitor import Janitor, RetentionPeriods
from bridge.engine.learning import Learning
from bridge.engine.membership import Lease, Membership
from bridge.engine.poller import Poller
from bridge.engine.source_runner import SourceRunner
from bridge.engine.store_intake import StoreIntake
from bridge.engine.store_news import follow_news
from bridge.engine.store_outage import retrying
from bridge.engine.workload import Workload
from bridge.engine.write_batcher import WriteBatcher
from bridge.errors import StoreError
from bridge.metrics import Metrics
from bridge.ports import Clock, FileSource, Intake, News, Offload, Source, StoreObserver
from bridge.sources.lines import LinesFile
from bridge.sources.queue import Queue
from bridge.sources.watchlist import Watchlist
from bridge.store import Store
from bridge.wiring.archive_builder import keep_rules
from bridge.wiring.plan_builder import PlanBuilder, routes
from bridge.wiring.task_reading import task_reader


class Parts:
    """The parts of one daemon on this store, connected but not started, and the settings in force.

    `offload` runs the calls to the store. `lease_offload` runs calls that must not wait for the calls in `offload`.
    `observers` are notified of changes to the store; more may be added later. `tallies` are recorded in addition to
    those of the sources.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        store: Store,
        clock: Clock,
        offload: Offload,
        lease_offload: Offload,
        metrics: Metrics,
        observers: Sequence[StoreObserver] = (),
        tallies: Sequence[SourceTally] = (),
    ) -> None:
        self.loaded = loaded
        self.store, self.clock = store, clock
        self._is_unnotified = True  # whether a shared store could not notice changes before, or was not asked yet
        self._offload = offload
        self._metrics = metrics
        self.lease = lease = Lease(clock, -math.inf)
        self._observers = observers
        self.writes = writes = WriteBatcher(
            commits=store,
            watches=store,
            offload=offload,
            clock=clock,
            metrics=metrics,
            notes_every_s=store.notes_every_s,
            observers=observers,
        )
        self.learning = Learning(durations=store, offload=offload, clock=clock)
        self.poller = Poller(
            watches=store,
            writes=writes,
            offload=offload,
            clock=clock,
            lease=lease,
            knowledge=self.learning.knowledge,
            metrics=metrics,
        )
        self.dispatcher = Dispatcher(
            outbox=store, writes=writes, lease=lease, offload=offload, clock=clock, metrics=metrics
        )
        self.writes.wake = self.dispatcher.wake
        self.workload = Workload(
            store=store, poller=self.poller, dispatcher=self.dispatcher, writes=writes, offload=offload, clock=clock
        )
        self.membership = self._membership(lease_offload)
        self.intake = StoreIntake(watches=store, offload=offload, clock=clock, changed=self._intake_changed)
        self.sources = SourceRunner(records=store, offload=offload, clock=clock, always=tallies)
        self.janitor = Janitor(store=store, offload=offload, clock=clock, retention=_retention(loaded.settings))
        self.keeper = Keeper(clock)
        self.callback_hints = CallbackHints(
            poller=self.poller, store=store, offload=offload, clock=clock, metrics=metrics
        )
        self.builder = PlanBuilder(clock, link_key=self._link_key, traffic=self.poller)
        metrics.show(accounts=loaded.settings.accounts, endpoints=loaded.settings.endpoints)

    def _membership(self, lease_offload: Offload) -> Membership:
        return Membership(
            lease=self.lease,
            shares=self.store,
            offload=lease_offload,
            clock=self.clock,
            name=self.loaded.member_name,
            # A file's lock ends with the process, so nothing needs to be renewed, and a suspended process keeps it.
            takeover_s=self.loaded.settings.sharing.takeover_s if self.store.is_shared else math.inf,
            worker=self.workload,
            give_up=self.store.give_up,
        )

    async def apply(self, loaded: Loaded) -> None:
        """Take part in the work of these settings. The membership assigns this daemon's shares."""
        # Everything that may be refused is built before anything changes.
        accounts, endpoints = self.builder.accounts(loaded), self.builder.endpoints(loaded)
        archive = loaded.settings.archive
        held_until = partial(self._in_s, archive.patience_s) if archive and archive.notify_after_copies else None
        self.writes.parcels_for = parcels_by(routes(loaded.settings), endpoints, held_until=held_until)
        if loaded.settings.http is not None:
            self.callback_hints.open()
        self.janitor.keep(_retention(loaded.settings))
        self.keeper.keep(keep_rules(loaded))
        self._metrics.show(accounts=accounts, endpoints=endpoints)
        self.membership.serve(await self.workload.apply(accounts, endpoints))
        await self.builder.retire(loaded)

    def _in_s(self, seconds: float) -> float:
        return self.clock.steady() + seconds

    async def start_sources(self, loaded: Loaded, group: TaskGroup) -> None:
        """Run the sources of these settings in `group`; return when each has been read once. The positions in lists of
        providers that are no longer read are deleted."""
        self.intake.origins = _origins(loaded, is_shared=self.store.is_shared)
        sources: list[Source] = [*file_sources(loaded, intake=self.intake, clock=self.clock)]
        for name, account in loaded.settings.accounts.items():
            polled, every_s, action = self.poller.accounts[name], account.discover_s, account.action
            if every_s is not None:
                sources.append(Discovery(polled, every_s=every_s, action=action, intake=self.intake, clock=self.clock))
            elif polled.plan.lists is not None:
                await forget(name, self.intake)
        await self.sources.replace(sources, daemon=loaded.member_name if self.store.is_shared else "", group=group)
        # The former sources may have been stopped between the commit of tasks and their fetching.
        await retrying(self.poller.fetch_changes, self.clock)

    async def follow_news(self) -> None:
        """React to what other processes write to the store, until canceled."""
        reactions = (
            ("work", lambda news: news.work, self.workload.refresh),
            ("outbox", lambda news: news.outbox, self.dispatcher.wake_all),
            ("members", lambda news: news.members, self.membership.wake),
            ("observers", lambda news: news.work + news.outbox + news.ends, self.report_change),
        )
        await follow_news(self._news, reactions, clock=self.clock, every_s=self.store.look_every_s)

    async def _news(self) -> News:
        """The counters of changes. A shared store is notified of them, so the call needs no thread. Its failures and
        the first success afterwards are counted as those of other calls."""
        if self.store.is_shared and not self._is_unnotified:
            with suppress(StoreError):
                return self.store.news()
        self._is_unnotified = True
        news = await self._offload(self.store.news)
        self._is_unnotified = False
        return news

    async def _link_key(self) -> bytes:
        """The key that signs links to copies; a new one after a person has revoked the links."""
        return await self._offload(partial(self.store.ensure_key, KeyPurpose.RESULTS, now=self.clock.now()))

    def report_change(self) -> None:
        """Notify the observers that something other than the write batcher may have changed the store."""
        for observer in self._observers:
            observer.changed()

    async def _intake_changed(self) -> None:
        self.report_change()
        await self.poller.fetch_changes()


def _retention(settings: Settings) -> RetentionPeriods:
    kept = settings.retention
    return RetentionPeriods(ended_s=kept.ended_s, delivered_s=kept.delivered_s, dead_s=kept.dead_s)


def file_sources(loaded: Loaded, *, intake: Intake, clock: Clock) -> list[FileSource]:
    """The sources in files of these settings, by their paths."""
    reader, queue = task_reader(loaded), loaded.settings.sources.queue
    kinds: dict[SourceKind, Callable[..., FileSource]] = {
        SourceKind.WATCHLIST: Watchlist,
        SourceKind.QUEUE: partial(Queue, settle_s=None if queue is None else queue.settle_s),
        SourceKind.LINES: LinesFile,
    }
    return [kinds[kind](path, reader=reader, intake=intake, clock=clock) for kind, path in loaded.source_paths.items()]


def _origins(loaded: Loaded, *, is_shared: bool) -> dict[str, str]:
    """The names of these sources in the store. On a shared store each daemon has its own files."""
    if not is_shared:
        return {}
    daemon = loaded.member_name
    return {source: origin(source, daemon, str(path)) for source, path in loaded.source_paths.items()}


def sources_changed(before: Settings, after: Settings) -> bool:
    """Whether the sources must be restarted: they have changed, or the names that tasks may use have."""
    if before.sources != after.sources or before.accounts != after.accounts or before.providers != after.providers:
        return True
    return before.endpoints.keys() != after.endpoints.keys()
