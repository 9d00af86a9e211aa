"""The numbers in the navigation of every view, and the list of needs that they count."""

from __future__ import annotations

from typing import Final, NamedTuple

from bridge.control.needs import Need, NeedCounts, counts_of, needs
from bridge.control.overview import Overview
from bridge.domain.daemon_state import DaemonNow
from bridge.http.services import Services
from bridge.store import ReadStore

WITHIN_S: Final = 0.05  # how long a page waits for its numbers
OLD_S: Final = 10.0  # older numbers are shown with their time


class Badges(NamedTuple):
    """The numbers. `as_of`: when they were read, if that is some time ago."""

    counts: NeedCounts = NeedCounts()
    as_of: float | None = None


async def badges(services: Services) -> Badges:
    """The numbers, at most a few seconds old. While the store is slow or cannot be read, the last known numbers."""
    found = await services.needs.get(WITHIN_S)
    if found is not None:
        return Badges(found)
    if services.needs.last is None:
        return Badges()
    age_s = services.clock.steady() - services.needs.last_at
    return Badges(services.needs.last, services.clock.now() - age_s if age_s > OLD_S else None)


def current_needs(
    store: ReadStore, services: Services, found: Overview, daemon: DaemonNow, commit_p95_s: float | None
) -> list[Need]:
    """Everything that needs a person now. Called through `Services.read`."""
    listed = needs(store, services.settings(), found, daemon=daemon, commit_p95_s=commit_p95_s)
    services.needs.put(counts_of(listed))
    return listed


async def count_needs(services: Services) -> NeedCounts:
    """The current numbers."""
    daemon = services.app().now()
    commit_p95_s = services.rings.commits().p95_s

    def count(store: ReadStore) -> NeedCounts:
        found = services.overviews.read(store, services.settings())
        return counts_of(current_needs(store, services, found, daemon, commit_p95_s))

    return await services.read(count)
