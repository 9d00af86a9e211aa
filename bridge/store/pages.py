"""What the status page reads: figures, pages of tasks (also for the API), and pages of deliveries. Each is read by an
index, and reads a bounded number of rows.

Deliveries come worst first. Of those that wait, the oldest come first; of those that are settled, the newest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.domain.filters import EVERY_WATCH, Page, WatchFilter
from bridge.domain.ids import ARCHIVE
from bridge.domain.page_views import (
    COUNTED,
    BoundedCount,
    DeadDeliveries,
    DeliveryGroup,
    DeliveryGroupPage,
    DeliveryMark,
    DeliverySearch,
    DisabledSince,
    ExpiringResult,
    FinishedIn,
    LiveWatch,
)
from bridge.domain.pause import PauseOf, lasting
from bridge.domain.task import Phase, Snapshot
from bridge.domain.views import DeliveryView, WatchView
from bridge.store import records
from bridge.store.rows import Row, plain
from bridge.store.selection import Search, search, watches
from bridge.store.sql_session import OpenStore, Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import snapshot_of

QUARTER_S: Final = 900
MOST_LATEST: Final = 1_000  # means and medians are computed from this many of the latest tasks or deliveries
MOST_EXPIRING: Final = 200  # maximum number of waiting deliveries to read
MOST_EXPIRING_CHARS: Final = 65_536  # of their snapshots; longer ones contain embedded files
SCANNED: Final = 8_000  # rows that one page looks at, if it has conditions that no index has
MOST_HITS: Final = 500  # maximum number of tasks that begin with the text
MOST_LIVE: Final = 10_000
MOST_SNAPSHOT: Final = 1 << 18  # characters; longer ones contain embedded files
_NEWEST: Final = 1 << 62  # above every id
_LAST: Final = "\U0010ffff"  # sorts behind everything that begins with a text
_CONDITIONS: Final = {
    "endpoint": "endpoint = :endpoint",
    "topic": SQL["pages.in_topic"],
    "since": "created_at >= :since",
    "text": SQL["pages.of_text"],
}
_ALL_SETTLED: Final = (1e300, 1 << 62)  # comes before all deliveries when they are sorted newest first


class Pages(OpenStore):
    def finished_in(self, since: float) -> list[FinishedIn]:
        """How many tasks have finished since then, by quarter of an hour and phase."""
        found = self._database.find(SQL["pages.finished_in"], since=since, quarter_s=float(QUARTER_S))
        return [FinishedIn(*row) for row in found]

    def polls_per_task(self) -> dict[str, tuple[float, int]]:
        """By account, for the last thousand finished tasks: the mean number of polls until a task was known to be
        finished, and the number of tasks."""
        found = self._database.find(SQL["pages.polls"], most=MOST_LATEST)
        return {name: (float(polls), tasks) for name, polls, tasks in found}

    def delivery_lags(self, since: float) -> list[float]:
        """For the last thousand accepted deliveries since then: the seconds from the commit of the task's finish until
        the endpoint accepted it. Copies are not counted."""
        found = self._database.find(SQL["pages.lags"], since=since, without=ARCHIVE, most=MOST_LATEST)
        return [max(0.0, lag) for (lag,) in found]

    def dead_deliveries(self) -> list[DeadDeliveries]:
        """The deliveries that were given up, by endpoint."""
        return [DeadDeliveries(*row) for row in self._database.find(SQL["pages.dead"])]

    def disabled_endpoints(self) -> list[DisabledSince]:
        """The endpoints that answered 410, by name."""
        return [DisabledSince(*row) for row in self._database.find(SQL["pages.disabled"])]

    def accepted(self, since: float) -> dict[str, tuple[BoundedCount, float]]:
        """By endpoint: how many deliveries were accepted since then, and when the last was. Only the last 10,000 of all
        endpoints are counted."""
        found = self._database.find(SQL["pages.accepted"], since=since, most=COUNTED + 1)
        is_more = sum(count for _, count, _ in found) > COUNTED
        return {endpoint: (BoundedCount(count, is_more), last_at) for endpoint, count, last_at in found}

    def expiring(self, now: float) -> list[ExpiringResult]:
        """Failed deliveries whose results expire before the next attempt, the earliest first. Only 200 waiting
        deliveries are examined."""
        found = []
        rows = self._database.find(SQL["pages.expiring"], most=MOST_EXPIRING, most_chars=MOST_EXPIRING_CHARS)
        for endpoint, account, task_id, due_at, snapshot in rows:
            gone_at = _gone_at(snapshot)
            if gone_at is not None and gone_at > now and (due_at is None or due_at > gone_at):
                found.append(ExpiringResult(endpoint, account, task_id, due_at, gone_at))
        return sorted(found, key=lambda one: one.gone_at)

    def live_watches(self) -> list[LiveWatch]:
        """The live tasks, in no order; at most 10,000."""
        return [LiveWatch(*row) for row in self._database.find(SQL["pages.live"], most=MOST_LIVE)]

    def watches_by_id(self, watch_ids: Sequence[int]) -> list[WatchView]:
        """These watches, in this order. Those that are gone are left out."""
        return records.WATCH_VIEWS.of(watch_ids, self._database, "watch_id")

    def snapshots_by_id(self, watch_ids: Sequence[int]) -> dict[int, Snapshot]:
        """The last snapshots of these watches. Those without a snapshot, or with a very long one, are left
        out."""
        rows = self._database.find(SQL["pages.snapshots"], ids=list(watch_ids), most_chars=MOST_SNAPSHOT)
        found = {watch_id: snapshot_of(key, text) for watch_id, key, text in rows}
        return {watch_id: snapshot for watch_id, snapshot in found.items() if snapshot is not None}

    def finished_watches(self, *, limit: int) -> list[WatchView]:
        """The tasks that finished last, the newest first. Withdrawn tasks are left out."""
        found = self._database.find(SQL["pages.last_finished"], most=limit)
        return self.watches_by_id([watch_id for (watch_id,) in found])

    def task_page(self, wanted: WatchFilter, *, before: int | None = None, limit: int) -> Page[WatchView]:
        """These tasks, the last added first, of those before this `watch_id`.

        A text is the beginning of an id, of ACCOUNT/ID or of a label, or it is the id of an event. If nothing begins
        with it, tasks that contain it are found. For conditions without an index, each page examines at most `SCANNED`
        rows, so it may be short, or even empty; the next page continues there.
        """
        floor, found = 0, []
        with self._database.read() as session:
            for scan in _scans(session, wanted):
                name = "pages.tasks_apart" if scan.phases and scan.rest else "pages.tasks"
                rows, its_floor = scan.find(session, name, before=before, most=limit + 1)
                floor = max(floor, its_floor)
                found += [watch_id for (watch_id,) in rows]
            found = sorted((one for one in found if one >= floor), reverse=True)
            following = found[limit - 1] if len(found) > limit else floor or None
            return Page(records.WATCH_VIEWS.of(found[:limit], session, "watch_id"), following)

    def delivery_page(
        self, wanted: DeliverySearch, *, after: DeliveryMark | None = None, limit: int, now: float
    ) -> DeliveryGroupPage:
        """These deliveries, the worst first, after this mark. Those that wait come oldest first, the others newest
        first. Bounded as `task_page`."""
        found: list[DeliveryMark] = []
        following = None
        with self._database.read() as session:
            for kind in _kinds(session, wanted, now, after):
                if following is not None:
                    break
                begin = after if after and after.group is kind.group else None
                marks, following = kind.marks(begin, limit + 1 - len(found))
                found += marks
                if len(found) > limit:
                    following = found[limit - 1]
            groups = {mark.delivery_id: mark.group for mark in found[:limit]}
            views = records.DELIVERY_VIEWS.of(groups, session, "delivery_id")
            return DeliveryGroupPage([(groups[view.delivery_id], view) for view in views], following)

    def count_deliveries(self, wanted: DeliverySearch, *, now: float) -> dict[DeliveryGroup, BoundedCount]:
        """How many deliveries match, by state: exact up to 10,000 each, and within `SCANNED` rows if no index has the
        conditions."""
        with self._database.read() as session:
            return {kind.group: kind.counted() for kind in _kinds(session, wanted, now)}

    def deliveries_by_watch(self, watch_ids: Sequence[int]) -> dict[int, list[DeliveryView]]:
        """The deliveries of each of these watches, the oldest first. A watch without deliveries is left out."""
        rest = "WHERE watch_id IN (:watch_ids[]) ORDER BY delivery_id"
        return records.DELIVERY_VIEWS.by("watch_id", self._database, rest, watch_ids=list(watch_ids))


def _gone_at(snapshot: str) -> float | None:
    try:
        at_ms = json.loads(snapshot).get("expires_ms")
        return None if at_ms is None else at_ms / 1000
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None  # logged when the watch is listed


class _Scan(NamedTuple):
    """Tasks in the order of their ids, along an index."""

    along: Search  # conditions that the index covers
    rest: Search = Search((), {})  # conditions that the index does not cover
    phases: int = 0  # number of phases to read, if the index is by phase

    def find(self, session: Session, name: str, *, before: int | None, most: int) -> tuple[list[Row], int]:
        """The rows that this statement finds among the tasks before this id, and the lowest id that was read (0: all
        were read). Reads at most `SCANNED` rows."""
        along = self.along.narrowed("watch_id < :before", before=_NEWEST if before is None else before)
        if not self.rest.conditions:
            return along.find(session, name, most=most), 0
        # The rows of one phase lie far apart, so each of them costs more.
        last = along.find(session, "pages.task_floor", skipped=SCANNED // (2 * self.phases or 1))
        floor = int(last[0][0]) if last else 0
        bounded = along.narrowed(*self.rest.conditions, "watch_id >= :floor", **self.rest.values, floor=floor)
        return bounded.find(session, name, most=most), floor


def _text_hits(session: Session, text: str | None) -> list[int]:
    """The watches whose id, ACCOUNT/ID or label begins with this text, and the watch of the event with this id. Empty
    if nothing matches, or if MOST_HITS or more match, because a scan finds these quickly."""
    if not text:
        return []
    text = plain(text)
    account, slash, begin = text.partition("/")
    key = {"account": account, "begin": begin, "begin_end": slash and begin + _LAST}
    found = session.find(SQL["pages.hits"], text=text, end=text + _LAST, last=_LAST, **key, most=MOST_HITS)
    return list({watch_id for (watch_id,) in found}) if len(found) < MOST_HITS else []


def _scans(session: Session, wanted: WatchFilter) -> Iterator[_Scan]:
    """The scans that find these tasks. They follow the hits of the text, or else one index: that of labels, of accounts
    and phases (one scan for each phase), or of ids."""
    if hits := _text_hits(session, wanted.text):
        rest = watches(wanted._replace(text=None), uses_index=False)
        yield _Scan(rest.narrowed("watch_id IN (:ids[])", ids=hits))
    elif wanted.label is not None:
        rest = watches(wanted._replace(label=None), uses_index=False)
        yield _Scan(watches(WatchFilter(label=wanted.label)), rest)
    elif wanted.account is None and not wanted.phases:
        yield _Scan(watches(EVERY_WATCH), watches(wanted, uses_index=False))
    else:
        along = watches(WatchFilter(account=wanted.account)).narrowed("phase = :phase")
        rest = watches(wanted._replace(account=None, phases=()), uses_index=False)
        phases = wanted.phases or tuple(Phase)
        for phase in phases:
            yield _Scan(along.narrowed(phase=str(phase)), rest, len(phases))


class _Kind(NamedTuple):
    """The wanted deliveries in one state (such as waiting or dead), in their order."""

    session: Session
    wanted: DeliverySearch
    group: DeliveryGroup
    off: Sequence[str]  # the endpoints that get nothing until a person acts
    hits: Sequence[int]  # the watches that the text finds

    @property
    def is_waiting(self) -> bool:
        return self.group in {DeliveryGroup.OFF, DeliveryGroup.WAITING}

    def marks(self, begin: DeliveryMark | None, most: int) -> tuple[list[DeliveryMark], DeliveryMark | None]:
        """The marks of the first deliveries, and where the search stopped (None: at the end)."""
        floor = self._floor(begin)
        name = "pages.waiting_deliveries" if self.is_waiting else "pages.settled_deliveries"
        found = self._scan(name, begin, floor, most=most)
        return [DeliveryMark(self.group, *row) for row in found], floor if len(found) < most else None

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
        return DeliveryMark(self.group, *last[0]) if last else None

    def _scan(self, name: str, begin: DeliveryMark | None, floor: DeliveryMark | None, **values: int) -> list[Row]:
        """What this statement finds between two marks."""
        at, delivery_id = begin[1:] if begin else ((0.0, 0) if self.is_waiting else _ALL_SETTLED)
        conditions: list[str] = [SQL["pages.waits" if self.is_waiting else "pages.settled"]]
        if self.wanted.text:
            conditions = [SQL["pages.waits_of_text" if self.is_waiting else "pages.settled_of_text"]]
        if self.is_waiting:
            conditions.append("endpoint IN (:off[])" if self.group is DeliveryGroup.OFF else "endpoint NOT IN (:off[])")
        elif self.wanted.since is not None:
            conditions.append("settled_at >= :since")  # a delivery is settled later than it was created
        if floor is not None:
            conditions.append("settled_at >= :floor_at")
        marks = {"at": at, "delivery_id": delivery_id, "floor_at": floor and floor.settled_at}
        given = {"text": self.wanted.text or None, "watch_ids": self.hits, "off": self.off, "state": self.group}
        found = search(_CONDITIONS, {**self.wanted._asdict(), **given}).narrowed(*conditions, **marks)
        return found.find(self.session, name, **values)


def _kinds(session: Session, wanted: DeliverySearch, now: float, after: DeliveryMark | None = None) -> Iterator[_Kind]:
    """The groups in the order of `DeliveryGroup`, beginning with the group of this mark."""
    order = list(DeliveryGroup)[list(DeliveryGroup).index(after.group) if after else 0 :]
    disabled = [endpoint for endpoint, _ in session.find(SQL["reads.disabled"])]
    paused = lasting(records.PAUSES.find(session), PauseOf.ENDPOINT, now)
    off, hits = sorted({*paused, *disabled}), _text_hits(session, wanted.text)
    return (_Kind(session, wanted, group, off, hits) for group in order if group in wanted.groups)
