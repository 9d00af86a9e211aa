"""Sites that stay in one state. Each has the real server and a real store, but no daemon that changes the store.

One process serves all sites, so that a state costs a few milliseconds and no daemon.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal

from bridge.app import App
from bridge.clock import SystemClock
from bridge.config.load import load
from bridge.domain.daemon_state import AccountNow, DaemonNow
from bridge.domain.delivery import Outcome
from bridge.http.services import Services
from bridge.http.serving import HttpServer
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.store import open_command_store
from tests.http.page.now_store import CDN, Filler, filled
from tests.http.site import free_port

ACCOUNTS: Final = ("kling", "runway", "suno")
ENDPOINTS: Final = ("hook", "crm", "automation")
WORKS: Final = DaemonNow(
    is_working=True, accounts={name: AccountNow(in_flight=1, rate=2.0, full_rate=4.0) for name in ACCOUNTS}
)


@dataclass
class StillApp:
    """Takes the place of the app of a daemon, and does no work."""

    state: DaemonNow
    sent: list[str] = field(default_factory=list)

    def is_working(self) -> bool:
        return self.state.is_working

    def now(self) -> DaemonNow:
        return self.state

    async def refresh(self) -> None:
        """Do nothing, because nobody follows the store."""

    def sink(self, endpoint: str) -> Sequence[Outcome]:
        self.sent.append(endpoint)
        return ()


class StillSites:
    """Starts sites; each serves until the end of the block."""

    def __init__(self, portal: BlockingPortal, stack: ExitStack) -> None:
        self._portal = portal
        self._stack = stack

    def serve(
        self,
        folder: Path,
        *,
        state: DaemonNow = WORKS,
        fill: Callable[[Filler], None] = lambda store: None,
        accounts: Sequence[str] = ACCOUNTS,
        endpoints: Sequence[str] = ENDPOINTS,
        **http: Any,
    ) -> str:
        """The address of a site in this state."""
        with filled(folder) as filler:
            fill(filler)
        loaded = load(_settings(folder, accounts, endpoints, http), {})
        place = folder / "state.db"
        store = self._stack.enter_context(closing(open_command_store(place, create=False, group_access=False)))
        services = Services(
            settings=lambda: loaded,
            app=lambda: cast(App, StillApp(state)),
            place=place,
            store=store,
            writing=ThreadOffload(),
            clock=SystemClock(),
            metrics=Metrics(),
            is_alive=lambda: True,
            store_failure=lambda: None,
        )
        server = HttpServer(services)
        self._stack.callback(server.close)
        bound = server.prepare(loaded)
        assert bound is not None
        running, _ = self._portal.start_task(server.run, loaded, bound)
        self._stack.callback(running.cancel)
        self._stack.callback(self._portal.call, server.stop)
        return f"http://{bound.address}"


@contextmanager
def still_sites() -> Iterator[StillSites]:
    """Starts the thread that serves the sites."""
    with start_blocking_portal("asyncio") as portal, ExitStack() as stack:
        yield StillSites(portal, stack)


def _settings(folder: Path, accounts: Sequence[str], endpoints: Sequence[str], http: dict[str, Any]) -> Path:
    path = folder / "genbridge.yaml"
    (folder / "queue").mkdir(exist_ok=True)
    account = {"provider": "kling", "base_url": "http://127.0.0.1:9", "api_key": "provider-key-0123456789"}
    endpoint = {"type": "webhook", "url": "http://127.0.0.1:9/", "api_key": "hook-key-0123456789"}
    settings = {
        "store": "state.db",
        "accounts": dict.fromkeys(accounts, account),
        "sources": {"queue": "queue/"},
        "endpoints": {name: {**endpoint, "url": f"http://127.0.0.1:9/{name}"} for name in endpoints},
        "http": {"listen": f"127.0.0.1:{free_port()}", "previews": [CDN], **http},
    }
    path.write_text(json.dumps(settings))
    path.chmod(0o600)
    return path
