"""What the status page reads from a store. No answer takes longer because more has finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.store.statements import Transactions

if TYPE_CHECKING:
    from bridge.store.page_views import (
        BoundedCount,
        DisabledSince,
        ExpiringResult,
        FinishedIn,
        StoreSpace,
        UndeliveredAt,
    )


class PageReads:
    """Base of `ReadStore`, which see. Each method imports its statements, because commands do without them."""

    _database: Transactions

    def finished_in(self, since: float) -> list[FinishedIn]:
        """How many tasks have finished since then, by quarter of an hour and phase."""
        from bridge.store.figures import finished_in

        with self._database.read() as session:
            return finished_in(session, since)

    def delivery_lags(self, since: float) -> list[float]:
        """Seconds from the commit of a finish to its acceptance, of the last thousand deliveries since then."""
        from bridge.store.figures import lags

        with self._database.read() as session:
            return lags(session, since)

    def undelivered(self) -> list[UndeliveredAt]:
        """The deliveries that were given up, by endpoint."""
        from bridge.store.figures import undelivered

        with self._database.read() as session:
            return undelivered(session)

    def disabled_endpoints(self) -> list[DisabledSince]:
        """The endpoints that answered 410, by name."""
        from bridge.store.figures import disabled

        with self._database.read() as session:
            return disabled(session)

    def accepted(self, since: float) -> dict[str, tuple[BoundedCount, float]]:
        """By endpoint: how many deliveries were accepted since then, and when the last was. Only the last 10,000 of all
        endpoints are counted."""
        from bridge.store.figures import accepted

        with self._database.read() as session:
            return accepted(session, since)

    def expiring(self, now: float) -> list[ExpiringResult]:
        """The failed deliveries whose results will be gone before their next attempt, the soonest first. Only 200
        waiting deliveries are looked at."""
        from bridge.store.figures import expiring

        with self._database.read() as session:
            return expiring(session, now)

    def space(self) -> StoreSpace:
        """How large the store is, and how much room is left on its disk."""
        return self._database.space()
