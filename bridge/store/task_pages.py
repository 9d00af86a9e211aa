"""Pages of tasks for the API and the status page. No page reads more than a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.domain.filters import EVERY_WATCH, WatchFilter
from bridge.domain.page_views import LiveWatch, WatchPage
from bridge.domain.task import Phase, Snapshot
from bridge.domain.views import WatchView
from bridge.store import records
from bridge.store.rows import Row, plain
from bridge.store.selection import Search, watches
from bridge.store.sql_session import OpenStore, Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import snapshot_of

SCANNED: Final = 8_000  # rows that one page looks at, if it has conditions that no index has
MOST_HITS: Final = 500  # maximum number of tasks that begin with the text
MOST_LIVE: Final = 10_000
_NEWEST: Final = 1 << 62  # above every id
_LAST: Final = "\U0010ffff"  # sorts behind everything that begins with a text
MOST_SNAPSHOT: Final = 1 << 18  # characters; longer ones contain embedded files


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


class TaskPages(OpenStore):
    def live_watches(self) -> list[LiveWatch]:
        """The tasks that run, in no order; at most 10,000."""
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

    def task_page(self, wanted: WatchFilter, *, before: int | None = None, limit: int) -> WatchPage:
        """These tasks, the last added first, of those before this `watch_id`.

        A text is the beginning of an id, of ACCOUNT/ID or of a label, or it is the id of an event. If nothing begins
        with it, tasks that contain it are found. For conditions without an index, each page examines at most `SCANNED`
        rows; the next page continues there.
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
            return WatchPage(records.WATCH_VIEWS.of(found[:limit], session, "watch_id"), following)


def text_hits(session: Session, text: str | None) -> list[int]:
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
    if hits := text_hits(session, wanted.text):
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
