"""Deliveries as the status page lists them: the worst first, each with what it waits for and the label of its task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.control.delivery_waits import DeliveryWait, DeliveryWaits, delivery_waits
from bridge.control.paging import SEARCHED, cursor_at, mark_after
from bridge.control.store_now import StoreNow
from bridge.domain.event import TASK_TOPICS
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import NOT_ACCEPTED, BoundedCount, DeliveryGroup, DeliveryMark, DeliverySearch
from bridge.domain.task import LIVE, Snapshot
from bridge.domain.views import DeliveryView, WatchView
from bridge.store import ReadStore

ROWS: Final = 50
MOST_BYTES: Final = 16_384  # maximum size of a body that is shown
_WEEK_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One delivery. `watch`: its task, if that is still stored; `snapshot`: what the provider last said about it.
    `gone_at`: when the task's results will be gone, if that is before the next attempt."""

    group: DeliveryGroup
    view: DeliveryView
    watch: WatchView | None
    snapshot: Snapshot | None
    wait: DeliveryWait | None
    gone_at: float | None

    @property
    def label(self) -> str | None:
        return None if self.watch is None else self.watch.label

    @property
    def task(self) -> WatchKey | None:
        is_about_task = self.view.topic in TASK_TOPICS
        return WatchKey(self.view.account, self.view.task_id) if is_about_task else None

    @property
    def name(self) -> tuple[str, str, str]:
        """The values that identify the delivery."""
        return self.view.event_id, self.view.endpoint, self.view.target


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDelivery:
    """One delivery with its attempts, and the first bytes of its body."""

    row: DeliveryRow
    body: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedDeliveries:
    """A page of deliveries. `after` is the cursor of the next page. `accepted` counts those of the last week."""

    rows: Sequence[DeliveryRow]
    after: str | None
    counts: Mapping[DeliveryGroup, BoundedCount]
    accepted: BoundedCount
    opened: OpenDelivery | None

    @property
    def not_accepted(self) -> BoundedCount:
        """The number of deliveries that are not accepted yet."""
        return total(self.counts[one] for one in NOT_ACCEPTED)


def grouped_deliveries(
    at: StoreNow,
    wanted: DeliverySearch,
    *,
    after: str | None,
    opened: tuple[str, str, str] | None = None,
    limit: int = ROWS,
) -> GroupedDeliveries:
    """At most `limit` of these deliveries, from the cursor `after` on: dead first, then off, waiting, accepted,
    canceled. `opened`: event, endpoint and target of the delivery to show in full.

    A page may be short, or empty, and still have a next one. UsageError for a wrong cursor.
    """
    store, now = at.store, at.now
    mark = None if after is None else DeliveryMark(*mark_after(SEARCHED, after, (DeliveryGroup, float, int)))
    page = store.delivery_page(wanted, after=mark, limit=limit, now=now)
    every = wanted._replace(groups=tuple(DeliveryGroup))
    lately = store.accepted(now - _WEEK_S)
    views = [view for _, view in page.views]
    if opened is not None:
        one = DeliveryFilter(event_ids=(opened[0],), endpoint=opened[1], target=opened[2])
        views += store.list_deliveries(one, attempts=True, limit=1)
    rows = _rows(store, delivery_waits(at), views)
    return GroupedDeliveries(
        rows=rows[: len(page.views)],
        after=cursor_at(SEARCHED, *page.next_after) if page.next_after else None,
        counts=store.count_deliveries(every, now=now),
        accepted=total(count for count, _ in lately.values()),
        opened=_opened(store, rows[-1]) if len(rows) > len(page.views) else None,
    )


def total(counts: Iterable[BoundedCount]) -> BoundedCount:
    found = list(counts)
    return BoundedCount(sum(one.number for one in found), any(one.is_more for one in found))


def _opened(store: ReadStore, row: DeliveryRow) -> OpenDelivery:
    body, size = store.delivery_body(row.view.delivery_id, most=MOST_BYTES)
    return OpenDelivery(row=row, body=body, size_bytes=size)


def _rows(store: ReadStore, waits: DeliveryWaits, found: Sequence[DeliveryView]) -> list[DeliveryRow]:
    """These deliveries with what they wait for, and with their tasks."""
    keys = {WatchKey(view.account, view.task_id) for view in found if view.topic in TASK_TOPICS}
    ids = {key: watch_id for key, (watch_id, _) in store.known(keys).items()}
    watches = {one.watch_id: one for one in store.watches_by_id(list(ids.values()))}
    snapshots = store.snapshots_by_id([one for one, watch in watches.items() if watch.phase not in LIVE])
    gone = {(one.endpoint, one.account, one.task_id): one.gone_at for one in store.expiring(waits.now)}

    def row(view: DeliveryView) -> DeliveryRow:
        watch_id = ids.get(WatchKey(view.account, view.task_id), 0)
        return DeliveryRow(
            group=DeliveryGroup.of(view.state, is_off=view.endpoint in waits.disabled or view.endpoint in waits.paused),
            view=view,
            watch=watches.get(watch_id),
            snapshot=snapshots.get(watch_id),
            wait=waits.of(view),
            gone_at=gone.get((view.endpoint, view.account, view.task_id)),
        )

    return [row(view) for view in waits.shown(found)]
