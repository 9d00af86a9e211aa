"""The HTTP server of a daemon: made from the daemon's parts; starts, moves and stops according to the settings."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import anyio.abc

from bridge.config.load import Loaded
from bridge.domain.listen_address import ListenAddress
from bridge.errors import ConfigError, Unavailable, UsageError
from bridge.http.access import AccessMiddleware, AccessRules
from bridge.http.live.live_hub import LiveHub
from bridge.http.services import Services
from bridge.http.web_app import web_app
from bridge.liveness import measure_loop_lag
from bridge.logs import get_logger
from bridge.net.http_server import listen, listen_unix, serve_on
from bridge.restarting import keep_running

log = get_logger()

GRACE_S: Final = 5.0  # for requests in flight when the daemon stops; well below its own limit of ten seconds


class Bound(NamedTuple):
    """A listener that does not serve yet, and its address (with the real port)."""

    listener: socket.socket
    address: ListenAddress

    def close(self) -> None:
        self.listener.close()
        _remove(self.address)


class HttpServer:
    """The server of one daemon. While `run` runs, `prepare` new settings, then `apply` them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._app: AccessMiddleware | None = None
        self._address: ListenAddress | None = None  # as in the settings
        self._serving: anyio.CancelScope | None = None
        self._group: anyio.abc.TaskGroup | None = None

    async def run(self, loaded: Loaded, bound: Bound | None, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Serve until canceled, at first as `apply` with these settings. `started()` once requests are answered."""
        services = self._services
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(measure_loop_lag, services.metrics.loop_lag_s, services.clock)
            self._group.start_soon(keep_running, "counts", services.counts.run, services.clock)
            self._group.start_soon(keep_running, "needs", services.needs.run, services.clock)
            self._group.start_soon(keep_running, "ready", services.shared_overview.run, services.clock)
            self._group.start_soon(keep_running, "rings", services.rings.run, services.clock)
            self._group.start_soon(services.live.run)
            self._group.start_soon(services.gateway.run)
            await self.apply(loaded, bound)
            task_status.started()
            await anyio.sleep_forever()

    @property
    def live(self) -> LiveHub:
        """Notifies followers of commits."""
        return self._services.live

    @property
    def is_running(self) -> bool:
        return self._group is not None

    def stop(self) -> None:
        """Accept no more connections; answer waiting requests now."""
        self._services.stopping.set()
        self.live.release()
        if self._serving is not None:
            self._serving.cancel()

    def close(self) -> None:
        """Close the connections to the store, after `run`."""
        self._services.reader.close()
        self.live.close()

    def prepare(self, loaded: Loaded) -> Bound | None:
        """The listener for these settings; None if the current one stays. Unavailable if it cannot listen."""
        wanted = _address(loaded)
        if wanted is None or wanted == self._address:
            return None
        return bind(wanted, loaded)

    async def apply(self, loaded: Loaded, bound: Bound | None) -> None:
        """Serve according to these settings, on the result of `prepare` for them."""
        settings, wanted = loaded.settings.http, _address(loaded)
        if settings is None or bound is not None:
            if self._serving is not None:
                self.live.release()
                self._serving.cancel()
            self._serving = self._app = None
        if settings is not None:
            rules = AccessRules.of(settings)
            if self._app is not None:
                before, self._app.rules = self._app.rules, rules
                if (rules.token, rules.read_token) != (before.token, before.read_token):
                    self.live.release()  # a caller with an old token may not follow any longer
            elif bound is not None and self._group is not None:
                self._app = web_app(self._services, rules)
                self._serving = await self._group.start(self._serve, self._app, bound)
        self._address = wanted

    async def _serve(
        self, app: AccessMiddleware, bound: Bound, *, task_status: anyio.abc.TaskStatus[anyio.CancelScope]
    ) -> None:
        try:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    await group.start(partial(serve_on, app, bound.listener, grace_s=GRACE_S))
                    log.info("http.listening", address=str(bound.address))
                    task_status.started(scope)
        finally:
            _remove(bound.address)


def bind(address: ListenAddress, loaded: Loaded) -> Bound:
    """A listener on this address. Unavailable names the key and says what is wrong."""
    try:
        if address.path:
            path = loaded.under(address.path)
            return Bound(listen_unix(path), ListenAddress(path=str(path)))
        listener = listen(address.host, address.port)
        return Bound(listener, address._replace(port=listener.getsockname()[1]))
    except UsageError as error:
        raise ConfigError([loaded.problem(("http", "listen"), str(error))]) from None
    except Unavailable as error:
        raise Unavailable(f"http.listen: {error}") from None


def _remove(address: ListenAddress) -> None:
    """Remove the file of a Unix socket."""
    if address.path:
        with suppress(OSError):
            Path(address.path).unlink()


def _address(loaded: Loaded) -> ListenAddress | None:
    return loaded.settings.http.address if loaded.settings.http else None
