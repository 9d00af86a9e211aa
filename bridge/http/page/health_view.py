"""The health view: three charts, accounts, endpoints, the daemon, the store, the sources. Problems come first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bridge.config.model import Account
from bridge.control.health_facts import (
    STOPPED,
    AccountFacts,
    EndpointFacts,
    FactState,
    account_facts,
    endpoint_facts,
)
from bridge.control.rings import Point
from bridge.control.store_now import StoreNow
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.ring import EVERY_S
from bridge.http.page import charts
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.redaction import hidden

MOST_ROWS: Final = 8  # rows without problems in a table; rows with problems are all shown


class HealthQuery(ViewQuery):
    """`all`: any value shows every account and endpoint, also those without problems."""

    all: str = ""


class Rows(NamedTuple):
    """The first rows of a table, and the number of further rows."""

    first: Sequence[AccountFacts | EndpointFacts]
    more: int

    @classmethod
    def of(cls, found: Sequence[AccountFacts | EndpointFacts], *, shows_all: bool) -> Rows:
        """All rows with problems, and those without up to `MOST_ROWS`. `found`: the worst first. If only one row would
        be left out, it is shown, because "1 more" would take the same space."""
        least = sum(one.state is not FactState.WELL for one in found)
        shown = len(found) if shows_all or len(found) <= MOST_ROWS + 1 else max(least, MOST_ROWS)
        return cls(found[:shown], len(found) - shown)


async def _load(call: ViewCall) -> Mapping[str, Any]:
    services, loaded = call.services, call.services.settings()
    daemon, rings = services.app().now(), services.rings
    found = await services.ask(_read, call, daemon, rings.polls_now(), rings.commits().p95_s)
    ahead = call.now - services.clock.steady()  # difference of wall time and steady time
    return {
        **found,
        "is_failing": daemon.store_failed_at is not None,
        "is_starting": not daemon.is_working or daemon.stopped_at is not None,
        "places": {name: place_of_account(one) for name, one in loaded.settings.accounts.items()}
        | {f"to {name}": one.place() for name, one in loaded.settings.endpoints.items()},
        "limits": {name: one.limits for name, one in loaded.settings.accounts.items()},
        "metrics": services.metrics,
        "began_at": rings.began_at,
        "loop_lag": rings.loop_lag(),
        "commits": rings.commits(),
        "memory": _memory_bytes(),
        "daemon_name": loaded.member_name,
        "ahead": ahead,
        "store_place": hidden(str(services.reader.place)),
        "lags": _lags(rings.lag(0.5), rings.lag(0.95), began_at=rings.began_at, ahead=ahead),
        "used": charts.used,
        "kept_s": loaded.settings.retention.ended_s,
    }


def _read(
    at: StoreNow, call: ViewCall, daemon: DaemonNow, polls_now: Mapping[str, float], commit_p95_s: float | None
) -> dict[str, Any]:
    """All stored facts for the view, in one read."""
    services, (store, file, now), shows_all = call.services, at, bool(call.query.all)
    overview = services.overviews.read(at)
    accounts = account_facts(at, overview, daemon=daemon, polls=polls_now)
    endpoints = endpoint_facts(at, overview)
    hours = services.finished.hours(store, now=now)
    polls = {name: one for name, one in store.polls_per_task().items() if name in file.accounts}
    return {
        "overview": overview,
        "accounts": Rows.of(accounts, shows_all=shows_all),
        "endpoints": Rows.of(endpoints, shows_all=shows_all),
        "able": sum(one.state not in STOPPED for one in accounts),
        "failing": [
            *(one.account for one in accounts if one.state is FactState.FAILING),
            *(one.endpoint for one in endpoints if one.state is FactState.FAILING),
        ],
        "paused": sorted(one.name for one in overview.pauses if one.lasts(now)),
        "space": store.space(),
        "needs": services.current_needs(at, overview, daemon, commit_p95_s),
        "hours": hours,
        "columns": charts.columns([(one.finished, one.failed) for one in hours]),
        "busiest": max(hours, key=lambda one: one.finished),
        "worst": max(hours, key=lambda one: one.failed),
        "polls": polls,
        "poll_rows": charts.rows([(name, mean) for name, (mean, _) in polls.items()]),
        "polls_all": _mean(polls),
    }


class Lags(NamedTuple):
    """The lines of the chart, how long the last deliveries took, and the longest duration with its time. They are known
    since `since_at`; `unknown` is the part of the chart's width before that, in percent."""

    median: str
    high: str
    now_s: float | None
    most_s: float
    most_at: float | None
    unknown: float
    since_at: float


def _lags(median: Sequence[Point], high: Sequence[Point], *, began_at: float, ahead: float) -> Lags:
    top = charts.high([one.value for one in high])
    known = [one for one in median if one.value is not None]
    most = max((one for one in high if one.value is not None), key=lambda one: one.value or 0.0, default=None)
    return Lags(
        median=charts.path([one.value for one in median], highest=top),
        high=charts.path([one.value for one in high], highest=top),
        now_s=known[-1].value if known else None,
        most_s=top,
        most_at=None if most is None else max(most.at, began_at) + ahead,
        unknown=round(100 * sum(one.at + EVERY_S <= began_at for one in median) / (len(median) - 1), 1),
        since_at=max(median[0].at, began_at) + ahead,
    )


def _memory_bytes() -> int | None:
    """How much memory this process uses; None if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _mean(polls: Mapping[str, tuple[float, int]]) -> float | None:
    tasks = sum(number for _, number in polls.values())
    return sum(mean * number for mean, number in polls.values()) / tasks if tasks else None


def place_of_account(account: Account) -> str:
    """The provider, and the host of the account if it is not the official one."""
    host = urlsplit(account.base_url).hostname if account.base_url else None
    return f"{account.provider} · {host}" if host else account.provider


VIEW: Final = View(path="/health", template="health.html", name="health", load=_load, query=HealthQuery)
