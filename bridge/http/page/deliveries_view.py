"""The view of deliveries with every attempt; the worst state comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from bridge.archive_builder import RETRIES
from bridge.control.delivery_table import DeliveryRow, DeliveryTable, OpenDelivery, delivery_table
from bridge.domain.event import Topic
from bridge.domain.ids import ARCHIVE
from bridge.domain.page_views import NOT_ACCEPTED, BoundedCount, DeliverySearch, Standing
from bridge.domain.quoting import printable
from bridge.http.page.rendering import address
from bridge.http.page.result_boxes import Thumbnail, results_of, thumbnail
from bridge.http.page.result_copies import TaskResult
from bridge.http.page.view import FLEETING, View, ViewCall, ViewQuery
from bridge.http.page.wording import Wording
from bridge.http.query_values import since_at
from bridge.redaction import hidden

PATH: Final = "/deliveries"
COPIES_WITHIN_S: Final = 0.05  # how long to wait for the archive
MOST_MARKS: Final = 6
SPANS: Final = ("1h", "24h", "7d")
TABS: Final[Mapping[str, tuple[Standing, ...]]] = {
    "all": tuple(Standing),
    "": NOT_ACCEPTED,
    "dead": (Standing.DEAD,),
    "held": (Standing.HELD,),
    "waiting": (Standing.WAITING,),
    "accepted": (Standing.ACCEPTED,),
    "canceled": (Standing.CANCELED,),
}


class DeliveriesQuery(ViewQuery):
    """The filter, the cursor of the page, and the open row: `EVENT,ENDPOINT` or `EVENT,ENDPOINT,TARGET`."""

    state: Literal["", "all", "dead", "held", "waiting", "accepted", "canceled"] = ""
    endpoint: str | None = None
    topic: Topic | None = None
    since: str | None = None
    q: str | None = None
    after: str | None = None
    open: str | None = None


class StateTab(NamedTuple):
    """A state to select. `number` is formatted; empty: unknown."""

    state: str
    label: str
    number: str


class Marks(NamedTuple):
    """The attempts of a delivery as icons, at most `MOST_MARKS`, and in words."""

    signs: tuple[str, ...]  # names of icons
    text: str


async def _load(call: ViewCall) -> Mapping[str, Any]:
    query: DeliveriesQuery = call.query
    services, loaded = call.services, call.services.settings()
    words = call.words
    wanted = DeliverySearch(
        standings=TABS[query.state],
        endpoint=query.endpoint,
        topic=query.topic,
        since=since_at(query.since, call.now),
        text=query.q,
    )
    found = await services.read(
        delivery_table, loaded, wanted, now=call.now, after=query.after, opened=_name(query.open)
    )
    rows = [*found.rows, *([found.opened.row] if found.opened else [])]
    is_filtered = bool(query.endpoint or query.topic or query.since or query.q)

    def most_of(row: DeliveryRow) -> int:
        is_copy = row.view.endpoint == ARCHIVE
        return len(RETRIES.steps_s if is_copy else loaded.settings.delivery.retries_s) + 1

    own = [one for one in call.request.query_params.multi_items() if one[0] not in FLEETING]
    return {
        "table": found,
        "filter": query,
        "is_filtered": is_filtered,
        "title": _title(words, found, is_filtered=is_filtered),
        "tabs": _tabs(words, found),
        "endpoints": loaded.queues,
        "spans": SPANS,
        "bulk": found.counts[Standing.DEAD].number if Standing.DEAD in wanted.standings else 0,
        "bulk_text": counted(words, found.counts[Standing.DEAD]),
        "accepted": counted(words, found.accepted) if found.accepted.number else "",
        "marks": {row.name: attempt_marks(words, row, most_of(row)) for row in found.rows},
        "topic_words": topic_words(words),
        "thumbnails": await _thumbnails(call, rows),
        "opened_name": None if found.opened is None else found.opened.row.name,
        "is_open_apart": found.opened is not None and found.opened.row.name not in {row.name for row in found.rows},
        "opened_marks": None
        if found.opened is None
        else attempt_marks(words, found.opened.row, most_of(found.opened.row)),
        "body": None if found.opened is None else shown_body(found.opened),
        "back": address(PATH, own),
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
    results = await results_of(call.services, tasks, now=call.now, within_s=COPIES_WITHIN_S)
    found = {name: thumbnail(one) for name, one in zip(names, results, strict=True) if one}
    return found if any(one.picture for one in found.values()) else {}


def counted(words: Wording, count: BoundedCount) -> str:
    """`8,406`, or `10,000+` if counting stopped there."""
    return words.number(count.number) + ("+" if count.is_more else "")


def _title(words: Wording, found: DeliveryTable, *, is_filtered: bool) -> str:
    """The title: what is not accepted yet, the worst first. If the filter excludes all of that, the title does not
    mention it."""
    said = {
        Standing.DEAD: words.text("{n} dead", n=counted(words, found.counts[Standing.DEAD])),
        Standing.WAITING: words.text("{n} waiting", n=counted(words, found.counts[Standing.WAITING])),
        Standing.HELD: words.text(
            "{n} for a disabled or paused endpoint", n=counted(words, found.counts[Standing.HELD])
        ),
    }
    parts = [text for standing, text in said.items() if found.counts[standing].number]
    if not parts:
        return words.text("Deliveries") if is_filtered else words.text("Everything is delivered")
    return words.text(", ").join(parts)


def _tabs(words: Wording, found: DeliveryTable) -> list[StateTab]:
    counts = found.counts
    is_more = any(counts[one].is_more for one in NOT_ACCEPTED)
    open_ = BoundedCount(sum(counts[one].number for one in NOT_ACCEPTED), is_more)
    tabs = [
        StateTab("all", words.text("All"), ""),
        StateTab("", words.text("Not accepted yet"), counted(words, open_)),
        StateTab("dead", words.text("Dead"), counted(words, counts[Standing.DEAD])),
        StateTab("held", words.text("Disabled or paused"), counted(words, counts[Standing.HELD])),
        StateTab("waiting", words.text("Waiting"), counted(words, counts[Standing.WAITING])),
        StateTab("accepted", words.text("Accepted"), counted(words, counts[Standing.ACCEPTED])),
    ]
    if counts[Standing.CANCELED].number:
        tabs.append(StateTab("canceled", words.text("Superseded"), counted(words, counts[Standing.CANCELED])))
    return tabs


def attempt_marks(words: Wording, row: DeliveryRow, most: int) -> Marks:
    """A cross for each failed attempt. Then a dot if the delivery was accepted, or a ring if it waits."""
    made = row.view.attempts
    is_accepted, is_waiting = row.standing is Standing.ACCEPTED, row.standing in {Standing.WAITING, Standing.HELD}
    failed = max(0, made - 1) if is_accepted else made
    last = ("yes",) if is_accepted else ("next",) if is_waiting else ()
    signs = (*["no"] * failed, *last)[-MOST_MARKS:]
    if made == 0:
        return Marks(signs, words.text("not tried"))
    return Marks(signs, words.text("{n} of {most}", n=made, most=max(made, most)))


def shown_body(opened: OpenDelivery) -> str:
    """The body for people: formatted JSON, without characters that change the direction of text, and without
    secrets."""
    text = opened.body.decode("utf-8", "replace")
    if opened.size_bytes == len(opened.body):
        try:
            text = orjson.dumps(orjson.loads(opened.body), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONDecodeError:
            pass  # a template may produce anything
    return "\n".join(map(printable, hidden(text).splitlines()))


def topic_words(words: Wording) -> Mapping[str, str]:
    """What happened, for each topic."""
    return {
        Topic.TASK_SUCCEEDED: words.text("succeeded"),
        Topic.TASK_FAILED: words.text("failed"),
        Topic.TASK_CANCELED: words.text("canceled"),
        Topic.TASK_NOT_FOUND: words.text("not found"),
        Topic.TASK_TIMED_OUT: words.text("timed out"),
        Topic.TASK_RUNNING: words.text("running"),
        Topic.TASK_PROGRESS: words.text("progress"),
        Topic.ACCOUNT_BLOCKED: words.text("account blocked"),
        Topic.ACCOUNT_RESTORED: words.text("account works again"),
        Topic.ENDPOINT_DISABLED: words.text("endpoint disabled"),
        Topic.ENDPOINT_FAILING: words.text("endpoint is failing"),
        Topic.ENDPOINT_RECOVERED: words.text("endpoint works again"),
        Topic.UNKNOWN_STATUS: words.text("unknown status"),
    }


VIEW: Final = View(path=PATH, template="deliveries.html", name="deliveries", load=_load, query=DeliveriesQuery)
