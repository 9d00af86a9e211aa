"""Builds the HTTP server of a daemon from the daemon's parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bridge.app import App
from bridge.config.load import Loaded
from bridge.control.live_hub import LiveHub
from bridge.control.page_memory import PageMemory
from bridge.http.app_side import AppSide
from bridge.http.cached_reading import CachedReading
from bridge.http.page.badges import count_needs
from bridge.http.recent_overview import RecentOverview
from bridge.http.services import Services
from bridge.http.serving import HttpServer
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.ports import Clock, Offload
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
        page=PageMemory(metrics, clock),
        live=LiveHub(store=follower, offload=ThreadOffload(), clock=clock, settings=settings),
    )
    return HttpServer(services)
