"""Small pictures of results, for the rows of a table."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Final, NamedTuple, TypeVar

from bridge.config.load import Loaded
from bridge.control.delivery_table import DeliveryRow
from bridge.domain.event import Topic
from bridge.domain.task import Phase, Snapshot
from bridge.domain.views import WatchView
from bridge.http.page.result_boxes import ResultBox, main_results, result_boxes, with_copies
from bridge.http.page.result_copies import CopiedTask, copies_of
from bridge.http.services import Services

COPIES_WITHIN_S: Final = 0.05  # how long the page waits for the archive; it shows what was found by then
K = TypeVar("K", bound=Hashable)


class Thumbnail(NamedTuple):
    """What a row shows of its result: the URL of a picture, if there is one, and the kind of the first result."""

    picture: str
    kind: str


def boxes_of(watch: WatchView, snapshot: Snapshot | None, previews: Collection[str], now: float) -> list[ResultBox]:
    """The results of a successful task; empty for any other task."""
    if watch.phase is not Phase.SUCCEEDED:
        return []
    began_at = watch.added_at if watch.ended_at is None else watch.ended_at
    return list(result_boxes(snapshot, previews, began_at=began_at, now=now))


async def main_results_of(
    services: Services, loaded: Loaded, boxes: Mapping[K, list[ResultBox]], copied: Collection[CopiedTask]
) -> dict[K, list[ResultBox]]:
    """The main results of several tasks, with the copies that are found quickly."""
    copies = await copies_of(services, loaded, list(copied), within_s=COPIES_WITHIN_S)
    return {key: list(main_results(with_copies(one, copies))) for key, one in boxes.items()}


async def thumbnails_of(
    services: Services, loaded: Loaded, rows: Collection[DeliveryRow], now: float
) -> dict[tuple[str, str, str], Thumbnail]:
    """The thumbnail of each delivery, by the delivery's name; empty if no row has a picture. Pictures are only what the
    browser may load: from an allowed origin, or a copy."""
    previews = loaded.settings.http.previews if loaded.settings.http else ()
    boxes = {row.name: boxes_of(row.watch, row.snapshot, previews, now) for row in rows if row.watch is not None}
    copied = {row.view.event_id: task for row in rows if (task := _copied(row)) is not None}
    found = await main_results_of(services, loaded, boxes, copied.values())
    thumbnails = {name: Thumbnail(picture(results), str(results[0].kind)) for name, results in found.items() if results}
    return thumbnails if any(one.picture for one in thumbnails.values()) else {}


def picture(results: Collection[ResultBox]) -> str:
    """The first picture of these results; empty if there is none."""
    return next((box.cover for box in results if box.cover), "")


def _copied(row: DeliveryRow) -> CopiedTask | None:
    """The copies of the results of its task; None if the task did not succeed."""
    watch, view = row.watch, row.view
    if watch is None or row.snapshot is None or view.topic != Topic.TASK_SUCCEEDED:
        return None
    return CopiedTask(view.event_id, view.account, view.task_id, watch.label, watch.ended_at, row.snapshot.result)
