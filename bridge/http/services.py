"""The parts of the daemon that routes may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import anyio

from bridge.app import App
from bridge.config.load import Loaded
from bridge.control.endpoint_sample import send_sample
from bridge.control.lookup import sampled_endpoint
from bridge.control.needs import Need, NeedCounts, counts_of, needs
from bridge.control.now_figures import FinishedCounts
from bridge.control.overview import Overview
from bridge.control.rings import Rings
from bridge.control.store_now import StoreNow
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.delivery import Outcome
from bridge.domain.store_key import KeyPurpose
from bridge.domain.views import Counts
from bridge.domain.watch import Wish
from bridge.errors import StoreError
from bridge.http.cached_reading import CachedReading, RecentOverview
from bridge.http.live.live_hub import LiveHub
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.ports import Added, Clock, Offload
from bridge.store import ReadStore, StorePlace, open_follower, open_reader
from bridge.store.command_store import CommandStore
from bridge.wiring.gateway_accounts import GatewayAccounts

P = ParamSpec("P")
T = TypeVar("T")


class Services:
    """Passed to every route. `settings` and `app` return the current ones; after a lost lease, the app is a new one.
    `writing` is the daemon's own thread for its store, which is at `place`; `reader` has another thread, so that reads
    do not delay commits.
    `is_alive` is what the watchdog says, and `store_failure` is set while the daemon cannot write to its store.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Loaded],
        app: Callable[[], App],
        place: StorePlace,
        store: CommandStore,
        writing: Offload,
        clock: Clock,
        metrics: Metrics,
        is_alive: Callable[[], bool],
        store_failure: Callable[[], StoreError | None],
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.app = app
        self.place = place
        self.reader = open_reader(place)
        self.reading = ThreadOffload()
        self.store = store
        self.writing = writing
        self.metrics = metrics
        self.is_alive = is_alive
        self.store_failure = store_failure
        self.counts: CachedReading[Counts] = CachedReading(partial(self.reading, self.reader.counts), clock)
        self.needs: CachedReading[NeedCounts] = CachedReading(self._count_needs, clock)
        self.overviews = RecentOverview(clock)
        self.shared_overview: CachedReading[Overview] = CachedReading(self.overview, clock)  # for `/readyz`
        self.rings = Rings(metrics, clock)  # only for the thread of the event loop
        self.finished = FinishedCounts(clock.steady)  # only for `read`
        self.live = LiveHub(store=open_follower(place), offload=ThreadOffload(), clock=clock, settings=settings)
        self.gateway = GatewayAccounts()
        self.stopping = anyio.Event()  # the server is about to stop: waiting routes must answer

    async def read(self, call: Callable[Concatenate[ReadStore, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call this with the read-only store."""
        return await self.reading(lambda: call(self.reader, *args, **kwargs))

    async def ask(self, call: Callable[Concatenate[StoreNow, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call this with the read-only store and the settings, as they are now."""
        at = StoreNow(self.reader, self.settings(), self.clock.now())
        return await self.reading(lambda: call(at, *args, **kwargs))

    async def overview(self) -> Overview:
        return await self.ask(self.overviews.read)

    async def write(self, call: Callable[Concatenate[CommandStore, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write to the daemon's store. The daemon reacts at once."""
        done = await self.writing(lambda: call(self.store, *args, **kwargs))
        if self.app().is_working():
            await self.app().refresh()
        return done

    async def key(self, purpose: KeyPurpose) -> bytes:
        """The store's key for this purpose. Only its first use waits for a commit."""
        found = await self.read(ReadStore.key, purpose)
        if found is None:
            found = await self.writing(lambda: self.store.ensure_key(purpose, now=self.clock.now()))
        return found

    async def add(self, wishes: Sequence[Wish], *, again: bool = False) -> list[Added]:
        """Watch these tasks; return after the commit. StoreError if the store cannot be written now."""
        return await self.working_app().parts.intake.add_once(wishes, source="http", again=again)

    def working_app(self) -> App:
        """The app. StoreError while it takes no tasks."""
        if not self.app().is_working():
            raise StoreError(f"{self.why_not_working()}; try again")
        return self.app()

    def why_not_working(self) -> str:
        """Why the daemon takes no tasks now: after a lost lease, it may be the store."""
        failure = self.store_failure()
        return "the daemon is starting or stopping" if failure is None else f"the daemon waits for its store: {failure}"

    async def send_sample(self, endpoint: str) -> list[tuple[str, Outcome]]:
        """Send a sample to an endpoint; returns the outcome for each target. UnknownNameError if there is none."""
        sampled_endpoint(self.settings(), endpoint)
        return await send_sample(self.app().sink(endpoint), endpoint, now=self.clock.now())

    def current_needs(self, at: StoreNow, found: Overview, daemon: DaemonNow, commit_p95_s: float | None) -> list[Need]:
        """Everything that needs a person now. Called through `ask`."""
        listed = needs(at, found, daemon=daemon, commit_p95_s=commit_p95_s)
        self.needs.put(counts_of(listed))
        return listed

    async def _count_needs(self) -> NeedCounts:
        daemon, commit_p95_s = self.app().now(), self.rings.commits().p95_s

        def count(at: StoreNow) -> NeedCounts:
            return counts_of(self.current_needs(at, self.overviews.read(at), daemon, commit_p95_s))

        return await self.ask(count)
