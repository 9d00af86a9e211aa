"""The view of deliveries with every attempt; the worst state comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from bridge.control.grouped_deliveries import DeliveryRow, OpenDelivery, grouped_deliveries
from bridge.domain.event import Topic
from bridge.domain.page_views import NOT_ACCEPTED, DeliveryGroup, DeliverySearch
from bridge.domain.quoting import printable
from bridge.http.page.result_boxes import Thumbnail, results_of, thumbnail
from bridge.http.page.result_copies import TaskResult
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.http.request_filters import since_at
from bridge.redaction import hidden
from bridge.wiring.archive_builder import RETRIES

TABS: Final[Mapping[str, tuple[DeliveryGroup, ...]]] = {
    "all": tuple(DeliveryGroup),
    "": NOT_ACCEPTED,
    **{str(one): (one,) for one in DeliveryGroup},
}


class DeliveriesQuery(ViewQuery):
    """The filter, the cursor of the page, and the open row: `EVENT,ENDPOINT` or `EVENT,ENDPOINT,TARGET`."""

    state: Literal["", "all", "dead", "off", "waiting", "accepted", "canceled"] = ""
    endpoint: str | None = None
    topic: Topic | None = None
    since: str | None = None
    q: str | None = None
    after: str | None = None
    open: str | None = None


async def _load(call: ViewCall) -> Mapping[str, Any]:
    query: DeliveriesQuery = call.query
    services, loaded = call.services, call.services.settings()
    wanted = DeliverySearch(
        groups=TABS[query.state],
        endpoint=query.endpoint,
        topic=query.topic,
        since=since_at(query.since, call.now),
        text=query.q,
    )
    found = await services.ask(grouped_deliveries, wanted, after=query.after, opened=_name(query.open))
    rows = [*found.rows, *([found.opened.row] if found.opened else [])]
    return {
        "table": found,
        "filter": query,
        "is_filtered": bool(query.endpoint or query.topic or query.since or query.q),
        "endpoints": loaded.queues,
        "bulk": found.counts[DeliveryGroup.DEAD].number if DeliveryGroup.DEAD in wanted.groups else 0,
        "most_attempts": len(loaded.settings.delivery.retries_s) + 1,
        "most_copy_attempts": len(RETRIES.steps_s) + 1,
        "thumbnails": await _thumbnails(call, rows),
        "is_open_apart": found.opened is not None and found.opened.row.name not in {row.name for row in found.rows},
        "body": None if found.opened is None else shown_body(found.opened),
    }


def _name(opened: str | None) -> tuple[str, str, str] | None:
    """The event, endpoint and target in `open`. A target may contain commas."""
    if opened is None:
        return None
    event_id, _, rest = opened.partition(",")
    endpoint, _, target = rest.partition(",")
    return event_id, endpoint, target


async def _thumbnails(call: ViewCall, rows: Sequence[DeliveryRow]) -> Mapping[tuple[str, str, str], Thumbnail]:
    """The thumbnail of each delivery, by the delivery's name; empty if no row has a picture."""
    names, tasks = [], []
    for row in rows:
        if row.watch is not None:
            names.append(row.name)
            is_end = row.view.topic == Topic.TASK_SUCCEEDED
            tasks.append(TaskResult(row.watch, row.snapshot, row.view.event_id if is_end else ""))
    results = await results_of(call.services, tasks, now=call.now)
    found = {name: thumbnail(one) for name, one in zip(names, results, strict=True) if one}
    return found if any(one.picture for one in found.values()) else {}


def shown_body(opened: OpenDelivery) -> str:
    """The body for people: formatted JSON, without secrets and characters that change the direction of text."""
    text = opened.body.decode("utf-8", "replace")
    if opened.size_bytes == len(opened.body):
        try:
            text = orjson.dumps(orjson.loads(opened.body), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONDecodeError:
            pass  # a template may produce anything
    return "\n".join(map(printable, hidden(text).splitlines()))


VIEW: Final = View(path="/deliveries", template="deliveries.html", name="deliveries", load=_load, query=DeliveriesQuery)
