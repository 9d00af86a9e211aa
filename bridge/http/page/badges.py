"""The numbers in the navigation of every view, and the list that one of them counts."""

from __future__ import annotations

from typing import NamedTuple

from bridge.control.needs import Need, needs
from bridge.control.overview import Overview
from bridge.domain.daemon_state import DaemonNow
from bridge.errors import StoreError
from bridge.http.services import Services
from bridge.store import ReadStore


class Badges(NamedTuple):
    """Deliveries that were given up, and what needs somebody."""

    dead: int = 0
    needs: int = 0


async def badges(services: Services) -> Badges:
    """The numbers as of the last second or so; none while the store cannot be read."""
    found = await services.gauges.get()
    if found is None:
        return Badges()
    daemon = services.daemon().now()
    commit_p95_s = services.page.rings.commits().p95_s
    try:
        number = await services.read(_number, services, daemon, commit_p95_s)
    except StoreError:
        number = 0
    return Badges(dead=sum(found.dead.values()), needs=number)


def current_needs(
    store: ReadStore, services: Services, found: Overview, daemon: DaemonNow, commit_p95_s: float | None
) -> list[Need]:
    """Everything that needs a person now. For `Services.read`."""
    listed = needs(store, services.settings(), found, daemon=daemon, commit_p95_s=commit_p95_s)
    services.page.needs.remember(listed)
    return listed


def _number(store: ReadStore, services: Services, daemon: DaemonNow, commit_p95_s: float | None) -> int:
    def listed() -> list[Need]:
        found = services.overviews.read(store, services.settings())
        return current_needs(store, services, found, daemon, commit_p95_s)

    return services.page.needs.number(listed)
