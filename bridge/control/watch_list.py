"""Watches as `list` and `show` print them, and as the API and the status page list them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge.control.delivery_list import DeliveryList, deliveries_at
from bridge.control.estimates import Estimates, estimates, eta_json
from bridge.control.formats import rfc3339
from bridge.control.lookup import listed_account
from bridge.control.paging import TASKS, cursor_at, row_before
from bridge.control.pausing import held_watches
from bridge.control.store_now import StoreNow
from bridge.domain.filters import WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE
from bridge.domain.views import WatchView

if TYPE_CHECKING:
    from bridge.domain.durations.forecast import Expected
    from bridge.domain.page_views import LiveWatch

AGES: Final = 50  # for sorting, ages that differ by less than a fiftieth get the same estimate

# The key of each field in JSON. Empty: JSON does not contain the field.
_KEYS: Final = [{"task_id": "id", "watch_id": ""}.get(name, name) for name in WatchView._fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchList:
    """Watches at one instant, with the data to estimate when they finish. `next` is the cursor of the next page."""

    views: Sequence[WatchView]
    next: str | None
    estimates: Estimates
    now: float

    def eta(self, view: WatchView) -> Expected | None:
        return self.estimates.of(view, self.now)

    def json(self) -> list[dict[str, Any]]:
        return [{**_watch_json(view), **eta_json(self.eta(view))} for view in self.views]


def list_watches(at: StoreNow, wanted: WatchFilter, *, limit: int | None = None) -> WatchList:
    """These watches, the last added first, at most `limit`. UsageError for an unknown account."""
    listed_account(at, wanted.account)
    return watches_at(at, at.store.list_watches(wanted, limit=limit))


def current_watches(at: StoreNow, wanted: WatchFilter, *, finished: int) -> WatchList:
    """All matching live watches, the newest first, then at most `finished` of the matching watches that finished last.
    `next` is not None if more have finished. UsageError for an unknown account."""
    listed_account(at, wanted.account)
    live = at.store.list_watches(wanted._replace(phases=tuple(sorted(LIVE))))
    over = at.store.last_finished(wanted, limit=finished)
    return watches_at(at, [*live, *over], following=cursor_at(TASKS, over.next_before))


def watches_at(
    at: StoreNow, views: Sequence[WatchView], *, following: str | None = None, known: Estimates | None = None
) -> WatchList:
    """These watches, with what they wait for now. `following`: the next cursor; `known`: estimates already read."""
    held = held_watches(views, at.store.accounts(), at.file.accounts, at.now)
    return WatchList(views=held, next=following, estimates=known or estimates(at), now=at.now)


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
    """Like `list_watches`, but fast in a large store: see `Pages.task_page`. A page may be short, or empty, and
    still have a `next` one."""
    page = at.store.task_page(wanted, before=row_before(TASKS, cursor), limit=limit)
    return watches_at(at, page, following=cursor_at(TASKS, page.next_before))


def watch_details(at: StoreNow, key: WatchKey) -> tuple[dict[str, Any], DeliveryList]:
    """One watch for JSON, and its deliveries. UnknownError if it does not exist."""
    [fields] = watches_at(at, [at.store.view(key)]).json()
    return fields, deliveries_at(at, at.store.deliveries_of(key))


def _watch_json(view: WatchView) -> dict[str, Any]:
    """The fields of a view, in their order."""
    found: Iterable[tuple[str, Any]] = zip(_KEYS, view, strict=True)
    return {key: rfc3339(value) if key.endswith("_at") else value for key, value in found if key}
