"""The health view: three charts, accounts, endpoints, the daemon, the store, the sources. Problems come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bridge.config.model import Account, Apprise, Webhook
from bridge.control.health_facts import (
    AccountFacts,
    EndpointFacts,
    FactState,
    account_facts,
    endpoint_facts,
)
from bridge.control.needs import Need, NeedKind
from bridge.control.now_figures import FinishedSince
from bridge.control.overview import Overview
from bridge.control.rings import Point
from bridge.domain.daemon_state import DaemonNow
from bridge.domain.page_views import StoreSpace
from bridge.domain.ring import EVERY_S
from bridge.http.page import charts
from bridge.http.page.badges import current_needs
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.http.page.wording import Wording
from bridge.liveness import memory_bytes
from bridge.redaction import hidden
from bridge.store import ReadStore

MOST_NAMED: Final = 12  # maximum number of names in the title
MOST_ROWS: Final = 8  # rows without problems in a table; rows with problems are all shown
STOPPED: Final = frozenset({FactState.BLOCKED, FactState.PAUSED})  # states of accounts that are not polled


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


class HealthFound(NamedTuple):
    """The stored facts at one instant."""

    overview: Overview
    accounts: Sequence[AccountFacts]
    endpoints: Sequence[EndpointFacts]
    space: StoreSpace
    needs: Sequence[Need]
    hours: Sequence[FinishedSince]
    polls: Mapping[str, tuple[float, int]]


async def _load(call: ViewCall) -> Mapping[str, Any]:
    services, loaded = call.services, call.services.settings()
    words = call.words
    daemon, rings = services.app().now(), services.rings
    polls_now, commit_p95_s = rings.polls_now(), rings.commits().p95_s
    found = await services.read(_read, call, daemon, polls_now, commit_p95_s)
    ahead = call.now - services.clock.steady()  # difference of wall time and steady time
    return {
        "title": _title(words, found, is_failing=daemon.store_failed_at is not None),
        "is_stopped": any(need.kind is NeedKind.NO_DAEMON for need in found.needs),
        "summary": _summary(words, found, is_working=daemon.is_working and daemon.stopped_at is None),
        "accounts": Rows.of(found.accounts, shows_all=bool(call.query.all)),
        "endpoints": Rows.of(found.endpoints, shows_all=bool(call.query.all)),
        "places": {name: place_of_account(one) for name, one in loaded.settings.accounts.items()}
        | {f"to {name}": place_of_endpoint(one) for name, one in loaded.settings.endpoints.items()},
        "limits": {name: one.limits for name, one in loaded.settings.accounts.items()},
        "metrics": services.metrics,
        "began_at": rings.began_at,
        "loop_lag": rings.loop_lag(),
        "commits": rings.commits(),
        "memory": memory_bytes(),
        "space": found.space,
        "paused": sorted(one.name for one in found.overview.pauses if one.lasts(call.now)),
        "daemon_name": loaded.member_name,
        "settings": found.overview.settings,
        "members": found.overview.members,
        "ahead": ahead,
        "counts": found.overview.counts,
        "sources": found.overview.sources,
        "notes": _notes(words, found.overview),
        "store_place": hidden(str(services.reader.place)),
        "hours": found.hours,
        "columns": charts.columns([(one.finished, one.failed) for one in found.hours]),
        "busiest": max(found.hours, key=lambda one: one.finished),
        "worst": max(found.hours, key=lambda one: one.failed),
        "lags": _lags(rings.lag(0.5), rings.lag(0.95), began_at=rings.began_at, ahead=ahead),
        "poll_rows": charts.rows([(name, polls) for name, (polls, _) in found.polls.items()]),
        "poll_labels": ", ".join(f"{name} {words.number(round(polls, 1))}" for name, (polls, _) in found.polls.items()),
        "polls_all": _mean(found.polls),
        "used": charts.used,
        "kept_s": loaded.settings.retention.ended_s,
    }


def _read(
    store: ReadStore, call: ViewCall, daemon: DaemonNow, polls_now: Mapping[str, float], commit_p95_s: float | None
) -> HealthFound:
    services, loaded = call.services, call.services.settings()
    overview = services.overviews.read(store, loaded)
    return HealthFound(
        overview=overview,
        accounts=account_facts(store, loaded, overview, daemon=daemon, polls=polls_now),
        endpoints=endpoint_facts(store, loaded, overview),
        space=store.space(),
        needs=current_needs(store, services, overview, daemon, commit_p95_s),
        hours=services.finished.hours(store, now=call.now),
        polls={name: one for name, one in store.polls_per_task().items() if name in loaded.settings.accounts},
    )


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


def _mean(polls: Mapping[str, tuple[float, int]]) -> float | None:
    tasks = sum(number for _, number in polls.values())
    return sum(mean * number for mean, number in polls.values()) / tasks if tasks else None


def _troubles(words: Wording, found: HealthFound) -> list[str]:
    """The things that need a person, in a few words each, as on the view Now."""
    said = {
        NeedKind.SETTINGS_INVALID: lambda need: words.text("the settings file is invalid"),
        NeedKind.DEAD_DELIVERIES: lambda need: words.counted(
            need.count, "{n} dead delivery to {endpoint}", "{n} dead deliveries to {endpoint}", endpoint=need.subject
        ),
        NeedKind.ACCOUNT_BLOCKED: lambda need: words.text("{name} is blocked", name=need.subject),
        NeedKind.ENDPOINT_DISABLED: lambda need: words.text("{name} is disabled", name=need.subject),
        NeedKind.STORE_SLOW: lambda need: words.text("the store is slow"),
        NeedKind.DISK_FULL: lambda need: words.text("the disk is nearly full"),
        NeedKind.FILES_REJECTED: lambda need: words.counted(
            need.count, "{n} file was rejected", "{n} files were rejected"
        ),
        NeedKind.RESULT_EXPIRES: lambda need: words.counted(
            need.count,
            "{n} result expires before {endpoint} gets it",
            "{n} results expire before {endpoint} gets them",
            endpoint=need.subject,
        ),
    }
    return [said[need.kind](need) for need in found.needs if need.kind in said]


def _title(words: Wording, found: HealthFound, *, is_failing: bool) -> str:
    """The title: the problems. Without a daemon, the title says only that. `is_failing`: the store cannot be
    written."""
    for need in found.needs:
        if need.kind is NeedKind.NO_DAEMON and need.since_at is not None:
            since = words.moment(need.since_at)
            if is_failing:
                return words.text("No write to the store has succeeded since {time}", time=since)
            return words.text("No daemon works on this store since {time}", time=since)
    troubles = _troubles(words, found)
    if not troubles:
        return words.text("All is well")
    said = words.text(", ").join(troubles[:MOST_NAMED])
    more = len(troubles) - MOST_NAMED
    if more > 0:
        said += words.text(", ") + words.counted(more, "{n} more", "{n} more")
    return "T" + said[1:] if said.startswith("the ") else said


def _summary(words: Wording, found: HealthFound, *, is_working: bool) -> str:
    accounts = found.accounts
    able = sum(one.state not in STOPPED for one in accounts)
    if any(need.kind is NeedKind.NO_DAEMON for need in found.needs):
        return words.text("Nothing is polled and nothing is delivered until that ends. Nothing is lost.")
    works = words.text("The daemon runs, the store answers.") if is_working else words.text("The daemon starts.")
    said = [works, words.text("{n} of {all} accounts can be polled.", n=able, all=len(accounts))]
    failing = [one.account for one in accounts if one.state is FactState.FAILING]
    failing += [one.endpoint for one in found.endpoints if one.state is FactState.FAILING]
    if failing:
        said.append(words.text("Failing, and tried again: {names}.", names=words.text(", ").join(failing)))
    return " ".join(said)


def _notes(words: Wording, found: Overview) -> list[str]:
    """The unusual events of the last day, one line each."""
    unread = [
        words.text(
            "{account}: {n} answers with an unknown status: {word}", account=one.account, n=one.answers, word=one.word
        )
        for one in found.unread
    ]
    unchecked = [
        words.text(
            "{endpoint}: {n} deliveries count as accepted, but the answers could not be checked: {why}",
            endpoint=one.endpoint,
            n=one.deliveries,
            why=one.reason,
        )
        for one in found.unchecked
    ]
    rows = len(found.unreadable)
    damaged = [words.counted(rows, "{n} row cannot be read", "{n} rows cannot be read")] if rows else []
    return [*unread, *unchecked, *damaged]


def place_of_account(account: Account) -> str:
    """The provider, and the host of the account if it is not the official one."""
    host = urlsplit(account.base_url).hostname if account.base_url else None
    return f"{account.provider} · {host}" if host else account.provider


def place_of_endpoint(endpoint: Webhook | Apprise) -> str:
    """The kind of an endpoint and its host or services. The rest of an address may be secret."""
    if isinstance(endpoint, Apprise):
        services = {url.reveal().partition("://")[0].lower() for url in endpoint.urls if url.is_resolved}
        return f"apprise · {', '.join(sorted(services))}"
    kind = "webhook" if endpoint.format == "documented" else endpoint.format
    try:
        host = urlsplit(endpoint.url.reveal()).hostname if endpoint.url.is_resolved else None
    except ValueError:
        host = None
    return f"{kind} · {host}" if host else kind


VIEW: Final = View(path="/health", template="health.html", name="health", load=_load, query=HealthQuery)
