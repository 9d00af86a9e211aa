"""The list of tasks: a table, newest first, filtered by phase, account, label, time and text."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import anyio
from pydantic import Field

from bridge.control.delivery_waits import delivery_waits
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import search_watches
from bridge.domain.filters import EVERY_WATCH, WatchFilter
from bridge.domain.page_views import COUNTED, NOT_ACCEPTED, BoundedCount, DeliveryGroup
from bridge.domain.task import LIVE, NOT_SUCCEEDED, Phase
from bridge.domain.views import Counts, WatchView
from bridge.http.page.cards import FinishedTask, NotificationState, finished_tasks, notification_states
from bridge.http.page.result_boxes import Thumbnail, results_of, thumbnail
from bridge.http.page.running_rows import RunningRow, running_row
from bridge.http.page.task_actions import NewTasks
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.http.request_filters import watch_filter
from bridge.http.services import Services
from bridge.store import ReadStore

ROWS: Final = 50
COUNTS_WITHIN_S: Final = 0.05  # a count that takes longer is left out
TABS: Final[Mapping[str, tuple[Phase, ...]]] = {
    "all": (),
    "running": (Phase.SUBMITTED, Phase.RUNNING),
    "succeeded": (Phase.SUCCEEDED,),
    "not_succeeded": tuple(sorted(NOT_SUCCEEDED)),
    "withdrawn": (Phase.WITHDRAWN,),
}
SPANS: Final = ("1h", "24h", "7d")  # offered by the form
MOST_CHARS: Final = 512


class TasksQuery(ViewQuery):
    """The filters, and `after`: the cursor of the page."""

    phase: tuple[Phase, ...] = ()
    account: Annotated[str | None, Field(max_length=MOST_CHARS)] = None
    label: Annotated[str | None, Field(max_length=MOST_CHARS)] = None
    q: Annotated[str | None, Field(max_length=MOST_CHARS)] = None
    since: Annotated[str | None, Field(max_length=100)] = None
    after: Annotated[str | None, Field(max_length=100)] = None


class TaskRow(NamedTuple):
    """One line of the table. `run` is set while it runs. `accepted` of the `notified` endpoints have the result."""

    view: WatchView
    run: RunningRow | None
    notified: Sequence[NotificationState]
    thumbnail: Thumbnail = Thumbnail()

    @property
    def accepted(self) -> int:
        return sum(one.state is DeliveryGroup.ACCEPTED for one in self.notified)

    @property
    def worst(self) -> str:
        """The state that colors the number, one of `NOT_ACCEPTED`, or empty."""
        states = {one.state for one in self.notified}
        return next((state for state in NOT_ACCEPTED if state in states), "")


class Tab(NamedTuple):
    """A tab for some phases. `counted` is None if the tasks were not counted."""

    name: str
    phases: tuple[Phase, ...]
    is_current: bool
    counted: BoundedCount | None


async def _load(call: ViewCall) -> Mapping[str, Any]:
    services, query, now = call.services, call.query, call.now
    loaded = services.settings()
    wanted = watch_filter(query, now=now)
    found = await services.ask(_read, wanted, query)
    is_counted = not (query.q or query.since or query.label)
    counts = await phase_counts(services, query.account) if is_counted else None
    results = await results_of(services, found.pop("results"), now=now)
    kept = None if counts is None or query.account else bounded(sum(counts.values()))
    return {
        **found,
        "rows": [row._replace(thumbnail=thumbnail(one)) for row, one in zip(found["rows"], results, strict=True)],
        "tabs": tabs(query.phase, counts),
        "kept_count": kept,
        "kept_for": call.words.days(loaded.settings.retention.ended_s),
        "accounts": sorted({*loaded.settings.accounts, *([query.account] if query.account else [])}),
        "settings_accounts": list(loaded.settings.accounts),
        "new_tasks": NewTasks(account=query.account),
        "spans": [*SPANS, *([query.since] if query.since and query.since not in SPANS else [])],
        "filters": query,
        "is_filtered": wanted != EVERY_WATCH,
        "command": command(query),
    }


def tabs(phases: Collection[Phase], counts: Mapping[Phase, int] | None) -> list[Tab]:
    """The tabs; at most one is current. Other combinations of phases get an extra tab."""
    found = [
        Tab(name, members, set(members) == set(phases), _counted(members, counts)) for name, members in TABS.items()
    ]
    if not any(tab.is_current for tab in found):
        found.append(Tab("", tuple(dict.fromkeys(phases)), True, _counted(phases, counts)))
    return found


def bounded(number: int) -> BoundedCount:
    """The number; large numbers are cut to thousands."""
    return BoundedCount(number if number <= COUNTED else number // 1000 * 1000, number > COUNTED)


def command(query: TasksQuery) -> str:
    """The command that lists the same tasks; empty if the command lacks one of the filters."""
    phases = set(query.phase)
    parts = ["genbridge", "list"]
    if phases == LIVE:
        parts.append("--live")
    elif len(phases) == 1:
        parts += ["--phase", str(query.phase[0])]
    elif phases:
        return ""
    if query.q:
        return ""
    for name, value in (("account", query.account), ("label", query.label), ("since", query.since)):
        parts += [f"--{name}", value] if value else []
    return shlex.join([*parts, "--limit", str(ROWS)])


async def phase_counts(services: Services, account: str | None) -> Mapping[Phase, int] | None:
    """How many tasks are in each phase, of one account or of all; None if that is not known quickly."""
    stored: Counts | None = None
    with anyio.move_on_after(COUNTS_WITHIN_S):
        stored = await services.counts.get()
    if stored is None:
        return None
    counts = dict.fromkeys(Phase, 0)
    for (name, phase), number in stored.by_account.items():
        if phase in counts and account in {None, name}:
            counts[Phase(phase)] += number
    return counts


def _read(at: StoreNow, wanted: WatchFilter, query: TasksQuery) -> dict[str, Any]:
    """All stored facts for the view, in one read."""
    store = at.store
    found = search_watches(at, wanted, limit=ROWS, cursor=query.after)
    accounts, waits = store.accounts(), delivery_waits(at)
    off = {*waits.paused, *waits.disabled}
    tasks = finished_tasks(store, found.views)

    def row(task: FinishedTask) -> TaskRow:
        return TaskRow(
            view=task.view,
            run=running_row(task.view, accounts, found.estimates, at.now) if task.view.phase in LIVE else None,
            notified=notification_states(waits.shown(task.deliveries), off),
        )

    is_empty = not found.views and found.next is None and query.after is None
    return {
        "rows": [row(task) for task in tasks],
        "results": [task.result for task in tasks],
        "next": found.next,
        "blocking": _blocking(store, wanted) if is_empty else "",
    }


def _blocking(store: ReadStore, wanted: WatchFilter) -> str:
    """The one of several filters that hides every task; empty if no single one does."""
    given = [(name, value) for name, value in wanted._asdict().items() if value]
    if len(given) < 2:
        return ""
    for name, _ in given:
        others = wanted._replace(**{name: EVERY_WATCH._asdict()[name]})
        if store.task_page(others, limit=1):
            return name
    return ""


def _counted(phases: Collection[Phase], counts: Mapping[Phase, int] | None) -> BoundedCount | None:
    return None if counts is None else bounded(sum(counts[phase] for phase in phases or counts))


VIEW: Final = View(path="/tasks", template="tasks.html", name="tasks", load=_load, query=TasksQuery)
