"""The parts of the daemon that routes may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

import anyio

from bridge.app import App
from bridge.config.load import Loaded
from bridge.control.endpoint_sample import send_sample
from bridge.control.live_hub import LiveHub
from bridge.control.lookup import known_endpoint
from bridge.control.needs import NeedCounts
from bridge.control.now_figures import FinishedCounts
from bridge.control.overview import Overview
from bridge.control.rings import Rings
from bridge.domain.delivery import Outcome
from bridge.domain.views import StoreGauges
from bridge.domain.watch import Wish
from bridge.errors import StoreError
from bridge.http.cached_reading import CachedReading, RecentOverview
from bridge.http.gateway_accounts import GatewayAccounts
from bridge.metrics import Metrics
from bridge.ports import Added, Clock, Offload
from bridge.store import ReadStore
from bridge.store.command_store import CommandStore

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Passed to every route. `stopping` is set when the server is about to stop: waiting routes must then answer."""

    clock: Clock
    settings: Callable[[], Loaded]  # the current settings
    app: Callable[[], App]  # the current one; after a lost lease, a new one
    reader: ReadStore = field(repr=False)
    reading: Offload = field(repr=False)  # has its own thread, so that reads do not delay commits
    store: CommandStore = field(repr=False)
    writing: Offload = field(repr=False)  # the daemon's own thread for its store
    metrics: Metrics = field(repr=False)
    gauges: CachedReading[StoreGauges] = field(repr=False)
    needs: CachedReading[NeedCounts] = field(repr=False)
    overviews: RecentOverview = field(repr=False)
    is_alive: Callable[[], bool]  # according to the watchdog
    store_failure: Callable[[], StoreError | None]  # while the daemon cannot write to its store
    live: LiveHub = field(repr=False)
    rings: Rings = field(repr=False)  # only for the thread of the event loop
    finished: FinishedCounts = field(repr=False)  # only for `read`
    gateway: GatewayAccounts = field(default_factory=GatewayAccounts, repr=False)
    stopping: anyio.Event = field(default_factory=anyio.Event, repr=False)

    async def read(self, call: Callable[Concatenate[ReadStore, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call this with the read-only store."""
        return await self.reading(lambda: call(self.reader, *args, **kwargs))

    async def overview(self) -> Overview:
        return await self.read(self.overviews.read, self.settings())

    async def write(self, call: Callable[Concatenate[CommandStore, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write to the daemon's store. The daemon reacts at once."""
        done = await self.writing(lambda: call(self.store, *args, **kwargs))
        if self.app().is_working():
            await self.app().refresh()
        return done

    async def add(self, wishes: Sequence[Wish], *, again: bool = False) -> list[Added]:
        """Watch these tasks; return after the commit. StoreError if the store cannot be written now."""
        app = self.app()
        if not app.is_working():
            raise StoreError("the daemon is starting or stopping; try again")
        return await app.parts.intake.add_once(wishes, source="http", again=again)

    async def send_sample(self, endpoint: str) -> list[tuple[str, Outcome]]:
        """Send the sample event to an endpoint; returns the outcome for each target. UnknownNameError if the settings
        do not have it."""
        known_endpoint(self.settings(), endpoint)
        return await send_sample(self.app().sink(endpoint), endpoint, now=self.clock.now())
