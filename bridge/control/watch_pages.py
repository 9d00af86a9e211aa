"""Lists of tasks: search results for the API and the status page; running and finished tasks for the status page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bridge.control.estimates import Estimates, estimates
from bridge.control.paging import TASKS, cursor_at, row_before
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import WatchList, watches_at
from bridge.domain.filters import WatchFilter
from bridge.domain.page_views import LiveWatch

AGES: Final = 50  # for sorting, ages that differ by less than a fiftieth get the same estimate


def running_watches(at: StoreNow, *, limit: int) -> WatchList:
    """The first running tasks, the soonest expected finish first. Tasks without an estimate come last, the oldest
    first. If there are more than 10,000, only the first 10,000 are sorted."""
    known = estimates(at)
    first = soonest_first(at.store.live_watches(), known, at.now)[:limit]
    return watches_at(at, at.store.watches_by_id([one.watch_id for one in first]), known=known)


def soonest_first(live: Sequence[LiveWatch], known: Estimates, now: float) -> list[LiveWatch]:
    """These tasks, sorted by the expected finish. An estimate is made once for each kind and age, not for each task."""
    remaining: dict[tuple[str, str | None, int], float | None] = {}

    def expected(one: LiveWatch) -> tuple[float, float]:
        age = round(math.log1p(max(0.0, now - one.added_at)) * AGES)
        kind = (one.account, one.action, age)
        if kind not in remaining:
            remaining[kind] = known.remaining_s(one.account, one.action, math.expm1(age / AGES))
        left_s = remaining[kind]
        return math.inf if left_s is None else left_s, one.added_at

    return sorted(live, key=expected)


def finished_watches(at: StoreNow, *, limit: int) -> WatchList:
    """The tasks that finished last, the newest first."""
    return watches_at(at, at.store.finished_watches(limit=limit))


def search_watches(at: StoreNow, wanted: WatchFilter, *, limit: int, cursor: str | None = None) -> WatchList:
    """Like `list_watches`, but fast in a large store: see `TaskPages.task_page`. A page may be short, or empty, and
    still have a `next` one."""
    page = at.store.task_page(wanted, before=row_before(TASKS, cursor), limit=limit)
    return watches_at(at, page.views, following=cursor_at(TASKS, page.next_before))
