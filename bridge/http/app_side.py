"""`services.DaemonSide`: what routes may use of the running app."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.app import App
from bridge.control.endpoint_sample import send_sample
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.delivery import Outcome
from bridge.domain.watch import Wish
from bridge.engine.callback_hints import CallbackHints
from bridge.errors import StoreError
from bridge.ports import AccountTraffic, Added, Clock


class AppSide:
    """One app, with its clock."""

    def __init__(self, app: App, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def add(self, wishes: Sequence[Wish], *, source: str, again: bool = False) -> list[Added]:
        """See `DaemonSide.add`."""
        if not self._app.is_working():
            raise StoreError("the daemon is starting or stopping; try again")
        return await self._app.parts.intake.add_once(wishes, source=source, again=again)

    @property
    def callbacks(self) -> CallbackHints:
        """See `DaemonSide.callbacks`."""
        return self._app.callback_hints

    async def keep(self, wish: Wish, *, source: str) -> None:
        """See `DaemonSide.keep`."""
        await self._app.parts.intake.add_once([wish], source=source)

    async def changed(self) -> None:
        """See `DaemonSide.changed`."""
        if self._app.is_working():
            await self._app.refresh()

    def traffic(self) -> AccountTraffic | None:
        """See `DaemonSide.traffic`."""
        return self._app.parts.poller if self._app.is_working() else None

    def now(self) -> DaemonNow:
        """See `DaemonSide.now`."""
        return self._app.now()

    def is_started(self) -> bool:
        """See `DaemonSide.is_started`."""
        return self._app.is_working()

    async def send_sample(self, endpoint: str) -> list[tuple[str, Outcome]]:
        """See `DaemonSide.send_sample`."""
        return await send_sample(self._app.sink(endpoint), endpoint, now=self._clock.now())
