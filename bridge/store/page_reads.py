"""What the status page reads from a store. No answer takes longer because more has finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge.store.statements import Transactions

if TYPE_CHECKING:
    from bridge.domain.task import Snapshot
    from bridge.store.page_views import (
        BoundedCount,
        DeliveryMark,
        DeliverySearch,
        DisabledSince,
        ExpiringResult,
        FinishedIn,
        FinishedMark,
        LiveWatch,
        Standing,
        StandingPage,
        StoreSpace,
        UndeliveredAt,
        WatchPage,
    )
    from bridge.store.selection import WatchFilter
    from bridge.store.views import DeliveryView, WatchView


class PageReads:
    """Base of `ReadStore`, which see. Each method imports its statements, because commands do without them."""

    _database: Transactions

    def finished_in(self, since: float) -> list[FinishedIn]:
        """How many tasks have finished since then, by quarter of an hour and phase."""
        from bridge.store.figures import finished_in

        with self._database.read() as session:
            return finished_in(session, since)

    def polls_per_task(self) -> dict[str, tuple[float, int]]:
        """By account: how many polls a task took until its finish was seen, and how many tasks there were. Of the last
        thousand tasks that finished."""
        from bridge.store.figures import polls_per_task

        with self._database.read() as session:
            return polls_per_task(session)

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

    def oldest_waiting(self) -> dict[str, float]:
        """When the delivery that has waited longest was made, by endpoint."""
        from bridge.store.figures import oldest_waiting

        with self._database.read() as session:
            return oldest_waiting(session)

    def expiring(self, now: float) -> list[ExpiringResult]:
        """The failed deliveries whose results will be gone before their next attempt, the soonest first. Only 200
        waiting deliveries are looked at."""
        from bridge.store.figures import expiring

        with self._database.read() as session:
            return expiring(session, now)

    def live_watches(self) -> list[LiveWatch]:
        """The tasks that run, in no order; at most 10,000."""
        from bridge.store.task_pages import live_watches

        with self._database.read() as session:
            return live_watches(session)

    def watches_by_id(self, watch_ids: Sequence[int]) -> list[WatchView]:
        """These watches, in this order. Those that are gone are left out."""
        from bridge.store.task_pages import watches_by_id

        with self._database.read() as session:
            return watches_by_id(session, watch_ids)

    def snapshots_by_id(self, watch_ids: Sequence[int]) -> dict[int, Snapshot]:
        """What the provider last said of these watches. Those without a snapshot, or with a very long one, are left
        out."""
        from bridge.store.task_pages import snapshots_by_id

        with self._database.read() as session:
            return snapshots_by_id(session, watch_ids)

    def finished_page(
        self, after: FinishedMark | None = None, *, limit: int
    ) -> tuple[list[WatchView], FinishedMark | None]:
        """The tasks that finished last, the newest first, and where the next page begins (None: this is the last)."""
        from bridge.store.task_pages import finished_page

        with self._database.read() as session:
            return finished_page(session, after, limit)

    def task_page(self, wanted: WatchFilter, *, before: int | None = None, limit: int) -> WatchPage:
        """These tasks, the last added first, of those before this `watch_id`.

        A text is the beginning of an id, of ACCOUNT/ID or of a label, or the id of an event. If nothing begins with it,
        tasks that contain it are looked for. Conditions that no index has are looked up in 8,000 rows at a time; the
        rest is on the next pages.
        """
        from bridge.store.task_pages import task_page

        with self._database.read() as session:
            return task_page(session, wanted, before, limit)

    def count_tasks(self, wanted: WatchFilter) -> BoundedCount:
        """How many tasks match: exact up to 10,000."""
        from bridge.store.task_pages import count_tasks

        with self._database.read() as session:
            return count_tasks(session, wanted)

    def delivery_page(
        self, wanted: DeliverySearch, *, after: DeliveryMark | None = None, limit: int, now: float
    ) -> StandingPage:
        """These deliveries, the worst first, after this mark. Those that wait come oldest first, the others newest
        first. Bounded as `task_page`."""
        from bridge.store.delivery_pages import delivery_page

        with self._database.read() as session:
            return delivery_page(session, wanted, after, limit, now=now)

    def count_deliveries(self, wanted: DeliverySearch, *, now: float) -> dict[Standing, BoundedCount]:
        """How many deliveries match, by how they stand: exact up to 10,000 each."""
        from bridge.store.delivery_pages import count_deliveries

        with self._database.read() as session:
            return count_deliveries(session, wanted, now=now)

    def deliveries_by_watch(self, watch_ids: Sequence[int]) -> dict[int, list[DeliveryView]]:
        """The deliveries of each of these watches, the oldest first. A watch without any is left out."""
        from bridge.store.delivery_pages import deliveries_by_watch

        with self._database.read() as session:
            return deliveries_by_watch(session, watch_ids)

    @property
    def place(self) -> object:
        """Where the store is. Printed, it shows no secret."""
        return self._database.place

    def space(self) -> StoreSpace:
        """How large the store is, and how much room is left on its disk."""
        return self._database.space()
