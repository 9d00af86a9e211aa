"""The parts of the daemon that routes may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import anyio

from bridge.config.load import Loaded
from bridge.control.live_hub import LiveHub
from bridge.control.needs import NeedCounts
from bridge.control.overview import Overview
from bridge.control.page_memory import PageMemory
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.delivery import Outcome
from bridge.domain.views import StoreGauges
from bridge.domain.watch import Wish
from bridge.engine.callback_hints import CallbackHints
from bridge.engine.poller import Poller
from bridge.errors import StoreError
from bridge.http.cached_reading import CachedReading
from bridge.http.gateway_accounts import GatewayAccounts
from bridge.http.recent_overview import RecentOverview
from bridge.metrics import Metrics
from bridge.ports import Added, Clock, Offload
from bridge.store import ReadStore
from bridge.store.command_store import CommandStore

P = ParamSpec("P")
T = TypeVar("T")


class DaemonSide(Protocol):
    """The parts of the daemon, except its store. After a lost lease, another app provides them."""

    async def add(self, wishes: Sequence[Wish], *, source: str, again: bool = False) -> list[Added]:
        """Watch these tasks; return after the commit. StoreError if the store cannot be written now."""

    @property
    def callbacks(self) -> CallbackHints:
        """The receiver of providers' callbacks."""

    async def keep(self, wish: Wish, *, source: str) -> None:
        """Like `add`, for a task that the provider has already started. Works as long as the store is open, even while
        the daemon stops."""

    async def changed(self) -> None:
        """React at once to a write to the store."""

    def traffic(self) -> Poller | None:
        """The limits of the accounts, for requests of other programs; None while the daemon starts or stops."""

    def now(self) -> DaemonNow:
        """The state of the daemon at this moment."""

    def is_started(self) -> bool:
        """Whether every source has been read once, and polls and deliveries run."""

    async def send_sample(self, endpoint: str) -> list[tuple[str, Outcome]]:
        """Send the sample event to one endpoint of the settings; returns the outcome for each target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Passed to every route. `stopping` is set when the server is about to stop: waiting routes must then answer."""

    clock: Clock
    settings: Callable[[], Loaded]  # the current settings
    daemon: Callable[[], DaemonSide]
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
    page: PageMemory = field(repr=False)
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
        await self.daemon().changed()
        return done
