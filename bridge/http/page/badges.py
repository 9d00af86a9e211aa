"""The numbers in the navigation of every view, and the list that one of them counts."""

from __future__ import annotations

from bridge.control.needs import Need, needs
from bridge.control.overview import Overview
from bridge.control.recent_needs import NeedCounts
from bridge.domain.daemon_state import DaemonNow
from bridge.errors import StoreError
from bridge.http.services import Services
from bridge.store import ReadStore


async def badges(services: Services) -> NeedCounts:
    """The numbers as of the last seconds; none while the store cannot be read."""
    daemon = services.daemon().now()
    commit_p95_s = services.page.rings.commits().p95_s
    try:
        return await services.read(_counts, services, daemon, commit_p95_s)
    except StoreError:
        return NeedCounts()


def current_needs(
    store: ReadStore, services: Services, found: Overview, daemon: DaemonNow, commit_p95_s: float | None
) -> list[Need]:
    """Everything that needs a person now. For `Services.read`."""
    listed = needs(store, services.settings(), found, daemon=daemon, commit_p95_s=commit_p95_s)
    services.page.needs.remember(NeedCounts(dead=found.counts.dead, needs=len(listed)))
    return listed


def _counts(store: ReadStore, services: Services, daemon: DaemonNow, commit_p95_s: float | None) -> NeedCounts:
    def count() -> NeedCounts:
        found = services.overviews.read(store, services.settings())
        return NeedCounts(
            dead=found.counts.dead, needs=len(current_needs(store, services, found, daemon, commit_p95_s))
        )

    return services.page.needs.counts(count)
