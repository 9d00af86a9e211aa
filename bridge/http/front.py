"""Builds the HTTP server of a daemon from the daemon's parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bridge.app import App
from bridge.config.load import Loaded
from bridge.control.endpoint_sample import send_sample
from bridge.control.live_hub import LiveHub
from bridge.control.page_memory import PageMemory
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.delivery import Outcome
from bridge.domain.watch import Wish
from bridge.engine.callback_hints import CallbackHints
from bridge.engine.poller import Poller
from bridge.errors import StoreError
from bridge.http.cached_reading import CachedReading
from bridge.http.page.badges import count_needs
from bridge.http.recent_overview import RecentOverview
from bridge.http.services import Services
from bridge.http.serving import HttpServer
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.ports import Added, Clock, Offload
from bridge.store import ReadStore
from bridge.store.command_store import CommandStore
from bridge.store.event_log import FollowStore


def http_server(
    *,
    settings: Callable[[], Loaded],
    app: Callable[[], App],
    reader: ReadStore,
    follower: FollowStore,
    store: CommandStore,
    writing: Offload,
    clock: Clock,
    metrics: Metrics,
    is_alive: Callable[[], bool],
    store_failure: Callable[[], StoreError | None],
) -> HttpServer:
    """A server that does not serve yet. `settings` and `app` return the current ones."""
    reading = ThreadOffload()
    services = Services(
        clock=clock,
        settings=settings,
        daemon=lambda: AppSide(app(), clock),
        reader=reader,
        reading=reading,
        store=store,
        writing=writing,
        metrics=metrics,
        gauges=CachedReading(partial(reading, reader.gauges), clock),
        needs=CachedReading(lambda: count_needs(services), clock),
        overviews=RecentOverview(clock),
        is_alive=is_alive,
        store_failure=store_failure,
        page=PageMemory(metrics, clock),
        live=LiveHub(store=follower, offload=ThreadOffload(), clock=clock, settings=settings),
    )
    return HttpServer(services)


class AppSide:
    """One app, with its clock."""

    def __init__(self, app: App, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def add(self, wishes: Sequence[Wish], *, source: str, again: bool = False) -> list[Added]:
        if not self._app.is_working():
            raise StoreError("the daemon is starting or stopping; try again")
        return await self._app.parts.intake.add_once(wishes, source=source, again=again)

    @property
    def callbacks(self) -> CallbackHints:
        return self._app.parts.callback_hints

    async def keep(self, wish: Wish, *, source: str) -> None:
        await self._app.parts.intake.add_once([wish], source=source)

    async def changed(self) -> None:
        if self._app.is_working():
            await self._app.refresh()

    def traffic(self) -> Poller | None:
        return self._app.parts.poller if self._app.is_working() else None

    def now(self) -> DaemonNow:
        return self._app.now()

    def is_started(self) -> bool:
        return self._app.is_working()

    async def send_sample(self, endpoint: str) -> list[tuple[str, Outcome]]:
        return await send_sample(self._app.sink(endpoint), endpoint, now=self._clock.now())
