"""The first view: the overall state, what needs a person, what runs, and what has finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from bridge.control.needs import NeedKind, counts_of
from bridge.control.now_figures import median_lag_s
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import finished_watches, running_watches
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.pause import PauseOf, lasting
from bridge.domain.source import SourceKind
from bridge.http.page.cards import FinishedTask, cards, finished_tasks
from bridge.http.page.result_boxes import results_of
from bridge.http.page.running_rows import running_row
from bridge.http.page.view import View, ViewCall

MOST_RUNS: Final = 9
MOST_CARDS: Final = 24
COPIES_WITHIN_S: Final = 0.1  # how long to wait for the archive; copies that were found by then are shown
BUSY_PER_MINUTE: Final = 50  # more finishes per minute than anybody can follow


async def _load(call: ViewCall) -> Mapping[str, Any]:
    services = call.services
    daemon = services.app().now()
    commit_p95_s = services.rings.commits().p95_s
    found = await services.ask(_read, call, daemon, commit_p95_s)
    tasks: Sequence[FinishedTask] = found.pop("finished")
    results = await results_of(services, [one.result for one in tasks], now=call.now, within_s=COPIES_WITHIN_S)
    return {
        **found,
        "cards": cards(zip(tasks, results, strict=True), found.pop("off")),
        "is_busy": is_busy(tasks, call.now),
        "answered_at": _answered_at(daemon, call),
        "is_starting": not daemon.is_working,
        "is_failing": daemon.store_failed_at is not None,
    }


def _read(at: StoreNow, call: ViewCall, daemon: DaemonNow, commit_p95_s: float | None) -> dict[str, Any]:
    """All stored facts for the view, in one read."""
    services, (store, file, now) = call.services, at
    found = services.overviews.read(at)
    accounts = store.accounts()
    wanted = services.current_needs(at, found, daemon, commit_p95_s)
    running = running_watches(at, limit=MOST_RUNS)
    return {
        "needs": wanted,
        "no_daemon": next((one for one in wanted if one.kind is NeedKind.NO_DAEMON), None),
        "paused": sorted({one.name for one in found.pauses if one.lasts(now)}),
        "kept_dead": max(0, found.counts.dead - counts_of(wanted).dead),
        "counts": found.counts,
        "today": services.finished.today(store, now=now, midnight_at=midnight_at(now, call.visitor.zone)),
        "median_lag_s": median_lag_s(store, now),
        "is_new": not found.counts.watches,
        "queue": file.source_paths.get(SourceKind.QUEUE),
        "runs": [running_row(view, accounts, running.estimates, now) for view in running.views],
        "finished": finished_tasks(store, finished_watches(at, limit=MOST_CARDS).views),
        "off": {*found.counts.disabled, *lasting(found.pauses, PauseOf.ENDPOINT, now)},
    }


def is_busy(shown: Sequence[FinishedTask], now: float) -> bool:
    """Whether tasks finish faster than a reader can follow. Then new cards do not appear automatically."""
    ends = [task.view.ended_at for task in shown if task.view.ended_at is not None]
    return len(ends) == MOST_CARDS and now - min(ends) < MOST_CARDS * 60 / BUSY_PER_MINUTE


def midnight_at(now: float, zone: tzinfo) -> float:
    """When the reader's day began."""
    return datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _answered_at(daemon: DaemonNow, call: ViewCall) -> float | None:
    """The time of the last answer from any provider."""
    last = max((one.answered_at for one in daemon.accounts.values() if one.answered_at is not None), default=None)
    return None if last is None else min(last, call.now)


VIEW: Final = View(path="/", template="now.html", name="now", load=_load)
