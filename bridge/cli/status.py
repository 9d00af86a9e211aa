"""`status`: the overall status."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Final

import click

from bridge.cli.options import check_display, json_option, watch_option
from bridge.cli.output import print_json
from bridge.cli.session import CommandSession, command
from bridge.control.account_waits import wait_line
from bridge.control.daemon_health import daemon_problem
from bridge.control.formats import ago, rfc3339
from bridge.control.overview import MOST_UNREADABLE, Overview, overview
from bridge.control.pausing import how_long
from bridge.control.settings_status import settings_lines
from bridge.domain.page_views import StoreSpace
from bridge.domain.plurals import count
from bridge.domain.quoting import printable
from bridge.domain.source import SourceFacts, SourceKind
from bridge.domain.task import Phase
from bridge.errors import ConfigError, GenbridgeError, UsageError
from bridge.screen import BAD, GOOD, Screen, folded, screen_of

MOST_WORDS: Final = 10  # maximum number of names on one line
MORE: Final = "  "  # indentation of the text of a continuation line
NAME_CELLS: Final = 10  # width of the first word of a line
STYLES: Final = {
    **dict.fromkeys(("dead", "failing", "disabled", "blocked", "invalid"), "bad"),
    **dict.fromkeys(("warning", "unread", "held", "paused"), "warn"),
}

Line = tuple[str, str]
"""What a line is about, empty if it continues the one above, and its text."""


@command("status")
@watch_option
@json_option
@click.option("--health", is_flag=True, help="For health checks: exit 0 while the daemon works, else 1.")
def status_command(session: CommandSession, as_json: bool, watch: bool, health: bool) -> int:
    """Show the overall status.

    Shows whether a daemon is running, what is watched, which deliveries are waiting, and which accounts and endpoints
    fail or have to wait, and why.
    """
    check_display(as_json=as_json, watch=watch)
    if health and (as_json or watch):
        raise UsageError("give --health without --json and --watch")
    if health:
        problem = _health_problem(session)
        click.echo(printable(problem or "healthy"))
        return 1 if problem else 0
    session.warn_of_others()
    if watch:
        from bridge.cli.foreground import keep_showing

        keep_showing(lambda screen: list(_shown(session, screen)))
    elif as_json:
        found, _, daemon = _found(session)
        print_json({"store": str(session.store_place), "daemon": daemon, **found.json()})
    else:
        for line in _shown(session, screen_of(sys.stdout)):
            click.echo(line)
    return 0


def _found(session: CommandSession) -> tuple[Overview, StoreSpace, str | None]:
    """The status, the room for the store, and the daemons that work on it."""
    daemon = session.daemon()
    with session.asking() as at:
        return overview(at, has_daemon=daemon is not None), at.store.space(), daemon


def _shown(session: CommandSession, screen: Screen) -> Iterator[str]:
    """The lines for this screen; a terminal gets colors, and long lines are wrapped."""
    found, space, daemon = _found(session)
    rows = [("store", str(session.store_place)), ("daemon", daemon or "not running")]
    if space.is_nearly_full:
        free = f"{(space.free_bytes or 0) // 1_000_000} MB are free"
        rows.append(("warning", f"the disk of the store is nearly full: {free}"))
    for name, text in (*rows, *_lines(found, session.file.accounts.keys(), session.file.queues)):
        mark, shown = screen.mark(GOOD if daemon else BAD) if name == "daemon" else "", printable(text)
        for part in folded(shown, screen.width - NAME_CELLS) if screen.is_terminal else (shown,):
            yield f"{screen.painted(name.ljust(NAME_CELLS), STYLES.get(name, 'bold'))}{mark}{part}"
            name = mark = ""


def _lines(found: Overview, known: Collection[str], queues: Collection[str]) -> Iterator[Line]:
    now = found.now
    whole = sum(view.shares for view in found.members)
    for view in found.members:
        yield "", f"{MORE}{view.member}: {view.shares} of {whole} shares, since {ago(view.joined_at, now)}"
    yield from settings_lines(found.settings, now)
    yield from _counts(found, known, queues)
    yield from _failing(found)
    for endpoint, reason in found.counts.disabled.items():
        yield "disabled", f"endpoint {endpoint}: {reason}; `genbridge enable {endpoint}` sends again"
    for account, reason in found.counts.blocked.items():
        yield "blocked", f"account {account}: {reason}"
    for pause in found.pauses:
        if pause.lasts(now):
            yield "paused", f"{pause.of} {pause.name} {how_long(pause, now)}"
    yield from (("held", wait_line(account, wait, now)) for account, wait in found.held_accounts)
    yield from _held_endpoints(found)
    yield from _unread(found)
    yield from _sources(found)


def _counts(found: Overview, known: Collection[str], queues: Collection[str]) -> Iterator[Line]:
    counts = found.counts
    phases = [f"{counts.watches[phase]} {phase}" for phase in Phase if phase in counts.watches]
    yield "watches", ", ".join(phases) or "none"
    for account, number in counts.live_by_account.items():
        if account not in known:
            yield "", f"{MORE}{number} of account {account}, which is not in the settings: never polled"
    oldest = f", the oldest {ago(counts.oldest_waiting_at, found.now)}" if counts.waiting else ""
    yield "waiting", f"{count(counts.waiting, 'delivery')}{oldest}"
    for endpoint, number in counts.waiting_by_endpoint.items():
        gone = "" if endpoint in queues else ", which is not in the settings: not sent"
        yield "", f"{MORE}{number} to {endpoint}{gone}"
    if counts.dead:
        yield "dead", f"{count(counts.dead, 'delivery')}: `genbridge deliveries --state dead` lists them"
        yield from (("", f"{MORE}{number} to {endpoint}") for endpoint, number in counts.dead_by_endpoint.items())


def _failing(found: Overview) -> Iterator[Line]:
    """Unreadable rows, failing accounts and endpoints, and unchecked answers, with the reason of the last failure."""
    rows = found.unreadable
    if rows:
        named = ", ".join(rows[:MOST_UNREADABLE]) + (", ..." if len(rows) > MOST_UNREADABLE else "")
        yield "warning", f"{count(len(rows), 'row')} of the store cannot be read and are ignored: {named}"
    for polls in found.failing_polls:
        last = f"{count(polls.tasks, 'task')} without a usable answer, the last one {ago(polls.last_at, found.now)}"
        yield "failing", f"account {polls.account}: {last}"
        yield "", f"{MORE}{polls.reason}"
    for one in found.failing:
        since = f"{count(one.failures, 'failed attempt')}, the first {ago(one.failing_since, found.now)}, none accepted"
        yield "failing", f"endpoint {one.endpoint}: {since}"
        yield "", f"{MORE}the last one: {one.reason}"
    for view in found.unchecked:
        accepted = f"{count(view.deliveries, 'delivery')} accepted without a check in 24 h"
        yield "warning", f"endpoint {view.endpoint}: {accepted}"
        yield "", f"{MORE}the last one {ago(view.last_at, found.now)}: {view.reason}"


def _held_endpoints(found: Overview) -> Iterator[Line]:
    """Queues whose receiver asked for a wait, or whose archive cannot be used. A short wait is not listed."""
    for one in found.held_endpoints.values():
        if one.reason:
            place = f"{one.endpoint}[{one.target}]" if one.target else one.endpoint
            until = f"{rfc3339(one.until_at)} ({ago(one.until_at, found.now)})"
            yield "held", f"endpoint {place}: nothing is sent until {until}"
            yield "", f"{MORE}{one.reason}; `genbridge enable {one.endpoint}` sends now"


def _unread(found: Overview) -> Iterator[Line]:
    """The answers of the last day that could not be read. Words without a notification are only counted."""
    for view in found.unread:
        if view.told_at is not None:
            answers = f"{count(view.answers, 'answer')}, the last {ago(view.last_at, found.now)}"
            yield "unread", f"account {view.account}, {answers}: {view.reason}"
    quiet = [view for view in found.unread if view.told_at is None]
    for account in dict.fromkeys(view.account for view in quiet):
        words = [view.word for view in quiet if view.account == account]
        shown = ", ".join(words[:MOST_WORDS]) + (", ..." if len(words) > MOST_WORDS else "")
        yield "", f"{MORE}{count(len(words), 'more word')} of account {account} without a notification: {shown}"


def _sources(found: Overview) -> Iterator[Line]:
    for number, one in enumerate(found.sources):
        daemon = f"{one.daemon}: " if one.daemon else ""
        source = f"{daemon}{one.source} {one.path}".rstrip()
        yield "" if number else "sources", f"{source}: {_source_state(one, found.now)}"
        if one.error and not one.is_failing:
            yield "", f"{MORE}last error {ago(one.error_at, found.now)}: {one.error}"
        if one.note:
            yield "", f"{MORE}{one.note}"


def _source_state(one: SourceFacts, now: float) -> str:
    if one.is_failing:
        state = f"cannot be read (last tried {ago(one.error_at, now)}): {one.error}"
    else:
        state = "not read yet" if one.read_at is None else f"last read {ago(one.read_at, now)}"
    ignored = f", {one.left_alone} ignored" if one.source == SourceKind.QUEUE else ""
    return f"{state}; {one.taken} taken, {one.rejected} rejected{ignored}"


def _health_problem(session: CommandSession) -> str | None:
    try:
        http = session.checked().settings.http
    except ConfigError:
        http = None  # a daemon works with the settings that it read before the mistake
    try:
        return daemon_problem(session.store_place, None if http is None else http.address)
    except GenbridgeError as error:
        return str(error)
