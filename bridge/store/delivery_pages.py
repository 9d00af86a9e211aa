"""Pages of deliveries for the status page, the worst first. No page reads more than a bounded number of rows.

Those that wait come oldest first; those that are settled come newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.domain.page_views import COUNTED, BoundedCount, DeliveryMark, DeliverySearch, Standing, StandingPage
from bridge.domain.pause import PauseOf, lasting
from bridge.domain.views import DeliveryView
from bridge.store import records
from bridge.store.rows import Row
from bridge.store.selection import search
from bridge.store.sql_session import OpenStore, Session
from bridge.store.statements import SQL
from bridge.store.task_pages import SCANNED, text_hits

_CONDITIONS: Final = {
    "endpoint": "endpoint = :endpoint",
    "topic": SQL["pages.in_topic"],
    "since": "created_at >= :since",
    "text": SQL["pages.of_text"],
}
_ALL_SETTLED: Final = (1e300, 1 << 62)  # comes before all deliveries when they are sorted newest first


class DeliveryPages(OpenStore):
    def delivery_page(
        self, wanted: DeliverySearch, *, after: DeliveryMark | None = None, limit: int, now: float
    ) -> StandingPage:
        """These deliveries, the worst first, after this mark. Those that wait come oldest first, the others newest
        first. Bounded as `task_page`."""
        found: list[DeliveryMark] = []
        following = None
        with self._database.read() as session:
            for kind in _kinds(session, wanted, now, after):
                if following is not None:
                    break
                begin = after if after and after.standing is kind.standing else None
                marks, following = kind.marks(begin, limit + 1 - len(found))
                found += marks
                if len(found) > limit:
                    following = found[limit - 1]
            standings = {mark.delivery_id: mark.standing for mark in found[:limit]}
            views = records.DELIVERY_VIEWS.of(standings, session, "delivery_id")
            return StandingPage([(standings[view.delivery_id], view) for view in views], following)

    def count_deliveries(self, wanted: DeliverySearch, *, now: float) -> dict[Standing, BoundedCount]:
        """How many deliveries match, by state: exact up to 10,000 each, and within `SCANNED` rows if no index has the
        conditions."""
        with self._database.read() as session:
            return {kind.standing: kind.counted() for kind in _kinds(session, wanted, now)}

    def deliveries_by_watch(self, watch_ids: Sequence[int]) -> dict[int, list[DeliveryView]]:
        """The deliveries of each of these watches, the oldest first. A watch without deliveries is left out."""
        rest = "WHERE watch_id IN (:watch_ids[]) ORDER BY delivery_id"
        return records.DELIVERY_VIEWS.by("watch_id", self._database, rest, watch_ids=list(watch_ids))


class _Kind(NamedTuple):
    """The wanted deliveries in one state (such as waiting or dead), in their order."""

    session: Session
    wanted: DeliverySearch
    standing: Standing
    off: Sequence[str]  # the endpoints that get nothing until a person acts
    hits: Sequence[int]  # the watches that the text finds

    @property
    def is_waiting(self) -> bool:
        return self.standing in {Standing.HELD, Standing.WAITING}

    def marks(self, begin: DeliveryMark | None, most: int) -> tuple[list[DeliveryMark], DeliveryMark | None]:
        """The marks of the first deliveries, and where the search stopped (None: at the end)."""
        floor = self._floor(begin)
        name = "pages.waiting_deliveries" if self.is_waiting else "pages.settled_deliveries"
        found = self._scan(name, begin, floor, most=most)
        return [DeliveryMark(self.standing, *row) for row in found], floor if len(found) < most else None

    def counted(self) -> BoundedCount:
        floor = self._floor(None)
        number = int(self._scan("pages.count_deliveries", None, floor, most=COUNTED + 1)[0][0])
        return BoundedCount(min(number, COUNTED), number > COUNTED or floor is not None)

    def _floor(self, begin: DeliveryMark | None) -> DeliveryMark | None:
        """The last row to read, so that at most `SCANNED` rows are read. None: read to the end."""
        if self.is_waiting or self.wanted.text or not (self.wanted.endpoint or self.wanted.topic):
            return None
        skipped = SCANNED // 4 if self.wanted.topic else SCANNED
        every = self._replace(wanted=DeliverySearch(since=self.wanted.since))
        last = every._scan("pages.delivery_floor", begin, None, skipped=skipped)
        return DeliveryMark(self.standing, *last[0]) if last else None

    def _scan(self, name: str, begin: DeliveryMark | None, floor: DeliveryMark | None, **values: int) -> list[Row]:
        """What this statement finds between two marks."""
        at, delivery_id = begin[1:] if begin else ((0.0, 0) if self.is_waiting else _ALL_SETTLED)
        conditions: list[str] = [SQL["pages.waits" if self.is_waiting else "pages.settled"]]
        if self.wanted.text:
            conditions = [SQL["pages.waits_of_text" if self.is_waiting else "pages.settled_of_text"]]
        if self.is_waiting:
            conditions.append("endpoint IN (:off[])" if self.standing is Standing.HELD else "endpoint NOT IN (:off[])")
        elif self.wanted.since is not None:
            conditions.append("settled_at >= :since")  # a delivery is settled later than it was created
        if floor is not None:
            conditions.append("settled_at >= :floor_at")
        marks = {"at": at, "delivery_id": delivery_id, "floor_at": floor and floor.settled_at}
        given = {"text": self.wanted.text or None, "watch_ids": self.hits, "off": self.off, "state": self.standing}
        found = search(_CONDITIONS, {**self.wanted._asdict(), **given}).narrowed(*conditions, **marks)
        return found.find(self.session, name, **values)


def _kinds(session: Session, wanted: DeliverySearch, now: float, after: DeliveryMark | None = None) -> Iterator[_Kind]:
    """The groups in the order of `Standing`, beginning with the group of this mark."""
    order = list(Standing)[list(Standing).index(after.standing) if after else 0 :]
    disabled = [endpoint for endpoint, _ in session.find(SQL["reads.disabled"])]
    paused = lasting(records.PAUSES.find(session), PauseOf.ENDPOINT, now)
    off, hits = sorted({*paused, *disabled}), text_hits(session, wanted.text)
    return (_Kind(session, wanted, standing, off, hits) for standing in order if standing in wanted.standings)
