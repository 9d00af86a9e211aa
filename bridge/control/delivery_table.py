"""Deliveries as the status page lists them: the worst first, each with what it waits for and the label of its task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.config.settings_file import SettingsFile
from bridge.control.delivery_waits import DeliveryWait, WaitCause, delivery_waits
from bridge.control.paging import SEARCHED, cursor_at, mark_after
from bridge.domain.event import TASK_TOPICS
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import NOT_ACCEPTED, BoundedCount, DeliveryMark, DeliverySearch, Standing
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

    standing: Standing
    view: DeliveryView
    watch: WatchView | None = None
    snapshot: Snapshot | None = None
    wait: DeliveryWait | None = None
    gone_at: float | None = None

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
class DeliveryTable:
    """A page of deliveries. `after` is the cursor of the next page. `accepted` counts those of the last week."""

    rows: Sequence[DeliveryRow]
    after: str | None
    counts: Mapping[Standing, BoundedCount]
    accepted: BoundedCount
    opened: OpenDelivery | None

    @property
    def not_accepted(self) -> BoundedCount:
        """The number of deliveries that are not accepted yet."""
        return total(self.counts[one] for one in NOT_ACCEPTED)


def delivery_table(
    store: ReadStore,
    file: SettingsFile,
    wanted: DeliverySearch,
    *,
    now: float,
    after: str | None = None,
    opened: tuple[str, str, str] | None = None,
    limit: int = ROWS,
) -> DeliveryTable:
    """At most `limit` of these deliveries, from the cursor `after` on: dead first, then held, waiting, accepted,
    canceled. `opened`: event, endpoint and target of the delivery to show in full.

    A page may be short, or empty, and still have a next one. UsageError for a wrong cursor.
    """
    mark = None if after is None else DeliveryMark(*mark_after(SEARCHED, after, (Standing, float, int)))
    page = store.delivery_page(wanted, after=mark, limit=limit, now=now)
    every = wanted._replace(standings=tuple(Standing))
    lately = store.accepted(now - _WEEK_S)
    facts = _Facts(store, file, now)
    return DeliveryTable(
        rows=facts.rows(page.views),
        after=cursor_at(SEARCHED, *page.next_after) if page.next_after else None,
        counts=store.count_deliveries(every, now=now),
        accepted=total(count for count, _ in lately.values()),
        opened=None if opened is None else _opened(store, facts, opened),
    )


def total(counts: Iterable[BoundedCount]) -> BoundedCount:
    found = list(counts)
    return BoundedCount(sum(one.number for one in found), any(one.is_more for one in found))


def _opened(store: ReadStore, facts: _Facts, name: tuple[str, str, str]) -> OpenDelivery | None:
    event_id, endpoint, target = name
    wanted = DeliveryFilter(event_ids=(event_id,), endpoint=endpoint, target=target)
    found = store.list_deliveries(wanted, attempts=True, limit=1)
    for row in facts.rows([(facts.standing(view), view) for view in found]):
        body, size = store.delivery_body(row.view.delivery_id, most=MOST_BYTES)
        return OpenDelivery(row=row, body=body, size_bytes=size)
    return None


class _Facts:
    """What deliveries wait for at this instant, and the labels of their tasks."""

    def __init__(self, store: ReadStore, file: SettingsFile, now: float) -> None:
        self._store = store
        self._waits = delivery_waits(store, file, now)
        self._gone = {(one.endpoint, one.account, one.task_id): one.gone_at for one in store.expiring(now)}

    def standing(self, view: DeliveryView) -> Standing:
        wait = self._waits.of(view)
        is_held = wait is not None and wait.cause in {WaitCause.DISABLED, WaitCause.PAUSED}
        return Standing.HELD if is_held else Standing(str(view.state))

    def rows(self, found: Sequence[tuple[Standing, DeliveryView]]) -> list[DeliveryRow]:
        views = self._waits.shown([view for _, view in found])
        keys = {WatchKey(view.account, view.task_id) for view in views if view.topic in TASK_TOPICS}
        ids = {key: watch_id for key, (watch_id, _) in self._store.known(keys).items()}
        watches = {one.watch_id: one for one in self._store.watches_by_id(list(ids.values()))}
        snapshots = self._store.snapshots_by_id([one for one, watch in watches.items() if watch.phase not in LIVE])

        def watch_id(view: DeliveryView) -> int:
            return ids.get(WatchKey(view.account, view.task_id), 0)

        return [
            DeliveryRow(
                standing=standing,
                view=view,
                watch=watches.get(watch_id(view)),
                snapshot=snapshots.get(watch_id(view)),
                wait=self._waits.of(view),
                gone_at=self._gone.get((view.endpoint, view.account, view.task_id)),
            )
            for (standing, _), view in zip(found, views, strict=True)
        ]
