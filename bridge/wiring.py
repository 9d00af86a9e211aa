"""Builds the parts of one daemon and connects them. `app.py` runs what is built here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bridge.config.load import Loaded
from bridge.config.model import Settings
from bridge.domain.source import SourceTally, origin
from bridge.engine.dispatcher import Dispatcher
from bridge.engine.janitor import Janitor, RetentionPeriods
from bridge.engine.learning import Learning
from bridge.engine.membership import Lease, Membership
from bridge.engine.poller import Poller
from bridge.engine.recorder import SourceRecorder
from bridge.engine.source_runner import SourceRunner
from bridge.engine.store_intake import StoreIntake
from bridge.engine.workload import Workload
from bridge.engine.write_batcher import WriteBatcher
from bridge.metrics import Metrics
from bridge.ports import Clock, FileSource, Intake, Offload, StoreObserver
from bridge.sources.lines import LinesFile
from bridge.sources.queue import Queue
from bridge.sources.watchlist import Watchlist
from bridge.store import Store
from bridge.task_reading import task_reader


class Parts:
    """The parts of one daemon on this store, connected but not started. `App` explains the two offloads."""

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
        self.lease = lease = Lease(clock, -math.inf)
        self._observers = observers
        self.writes = writes = WriteBatcher(
            commits=store,
            watches=store,
            offload=offload,
            clock=clock,
            metrics=metrics,
            parcels_for=lambda event: [],
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
        self.membership = Membership(
            lease=lease,
            shares=store,
            offload=lease_offload,
            clock=clock,
            name=loaded.member_name,
            # A file's lock ends with the process, so nothing needs to be renewed, and a suspended process keeps it.
            takeover_s=loaded.settings.sharing.takeover_s if store.is_shared else math.inf,
            worker=self.workload,
            give_up=store.give_up,
        )
        self.intake = StoreIntake(watches=store, offload=offload, clock=clock, changed=self._intake_changed)
        self.recorder = SourceRecorder(records=store, offload=offload, clock=clock, always=tallies)
        self.sources = SourceRunner(recorder=self.recorder, clock=clock)
        self.janitor = Janitor(store=store, offload=offload, clock=clock, retention=retention(loaded.settings))

    def report_change(self) -> None:
        """Notify the observers that something other than the write batcher may have changed the store."""
        for observer in self._observers:
            observer.changed()

    async def _intake_changed(self) -> None:
        self.report_change()
        await self.poller.fetch_changes()


def retention(settings: Settings) -> RetentionPeriods:
    kept = settings.retention
    return RetentionPeriods(ended_s=kept.ended_s, delivered_s=kept.delivered_s, dead_s=kept.dead_s)


def sources(loaded: Loaded, *, intake: Intake, clock: Clock) -> list[FileSource]:
    reader = task_reader(loaded)
    named = loaded.settings.sources
    found: list[FileSource] = []
    if named.watchlist is not None:
        found.append(Watchlist(loaded.under(named.watchlist), reader=reader, intake=intake, clock=clock))
    if named.queue is not None:
        folder, settle_s = loaded.under(named.queue.path), named.queue.settle_s
        found.append(Queue(folder, settle_s=settle_s, reader=reader, intake=intake, clock=clock))
    if named.lines is not None:
        found.append(LinesFile(loaded.under(named.lines), reader=reader, intake=intake, clock=clock))
    return found


def origins(loaded: Loaded, *, is_shared: bool) -> dict[str, str]:
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
