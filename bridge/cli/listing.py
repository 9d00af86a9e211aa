"""`list`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click

from bridge.cli.options import check_display, json_option, limit_option, since_option, watch_option, wide_option
from bridge.cli.output import MARK, Column, is_id, is_url, print_json, print_table, table_lines
from bridge.cli.session import CommandSession, clock_of, command
from bridge.control.estimates import eta, is_vague, when_done
from bridge.control.formats import age, ago, due
from bridge.control.watch_list import WatchList, current_watches, list_watches
from bridge.domain.filters import EVERY_WATCH, WatchFilter
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import WatchView
from bridge.errors import UsageError
from bridge.screen import BAD, BUSY, GONE, GOOD, Screen, screen_of

ROWS_LEFT: Final = 3  # rows of a terminal for the heading, the number of further tasks, and the cursor
LAST_FINISHED: Final = 20  # on a terminal, unless a filter requests others

PHASE_MARKS: Final = {Phase.SUCCEEDED: GOOD, Phase.WITHDRAWN: GONE, Phase.CANCELED: GONE, **dict.fromkeys(LIVE, BUSY)}


@command("list")
@click.option(
    "--phase",
    metavar="PHASE",
    type=click.Choice([phase.value for phase in Phase]),
    help=f"Only tasks in this phase: {', '.join(Phase)}.",
)
@click.option("--live", is_flag=True, help="Only tasks that have not finished.")
@click.option("--account", metavar="NAME", help="Only tasks of this account.")
@click.option("--label", metavar="TEXT", help="Only tasks with exactly this label.")
@since_option("Only tasks added or finished since TIME: 2025-11-01T12:00Z, or 2h for the last 2 hours.")
@limit_option
@watch_option
@wide_option
@json_option
def list_command(
    session: CommandSession,
    /,
    phase: str | None,
    live: bool,
    limit: int | None,
    as_json: bool,
    watch: bool,
    wide: bool,
    **given: Any,
) -> None:
    """List watched tasks, the most recently added first.

    On a terminal: all live tasks, then the last 20 that finished, cut to the terminal's width. --phase, --live, --since
    and --limit show every match; --wide and --json show every value. In a pipe: every task, one line each, nothing cut.

    SINCE is when the task finished; if it has not finished, when it was added. ETA is the time span in which 80 % of
    similar tasks finish.
    """
    if phase and live:
        raise UsageError("give --phase or --live, not both")
    check_display(as_json=as_json, watch=watch)
    phases = tuple(sorted(LIVE)) if live else (Phase(phase),) if phase else ()
    wanted = WatchFilter(phases=phases, **given)
    screen = screen_of(sys.stdout)
    is_short = screen.is_terminal and not (as_json or phases or limit or given["since"])
    none = "nothing is watched: `genbridge add ID` adds a task" if wanted == EVERY_WATCH else "no matching tasks"
    with session.asking() as begun:
        clock = clock_of(begun.store)

        def find() -> WatchList:
            at = begun._replace(now=clock.now())
            if is_short:
                return current_watches(at, wanted, finished=LAST_FINISHED)
            return list_watches(at, wanted, limit=limit)

        if watch:
            from bridge.cli.foreground import keep_showing

            keep_showing(lambda screen: _watched(find(), screen, none))
        else:
            found = find()
            _print(found, screen, none, as_json=as_json, wide=wide)
            if is_short and found.next is not None:
                click.echo("more tasks have finished: `genbridge list | less` shows all", err=True)
            if screen.is_terminal and not as_json and any(view.phase in LIVE for view in found.views):
                session.hint_at_daemon()  # the times of the next polls mean nothing without one


def _print(found: WatchList, screen: Screen, none: str, *, as_json: bool, wide: bool) -> None:
    """`none`: the line if there is no task."""
    if as_json:
        print_json(found.json())
    elif not found.views:
        click.echo(none, err=True)
    elif not screen.is_terminal or wide:
        _print_whole(found)
    else:
        click.echo("\n".join(_lines(found, screen)))


def _watched(found: WatchList, screen: Screen, none: str) -> Sequence[str]:
    """The lines of one refresh that fit on the screen."""
    room = screen.height - ROWS_LEFT
    more = len(found.views) - room
    lines = _lines(replace(found, views=found.views[:room]), screen) if found.views else [none]
    return [*lines, screen.painted(f"{more} more", "dim")] if more > 0 else lines


def _print_whole(found: WatchList) -> None:
    """Print a table without cutting any value."""
    now = found.now
    print_table(
        found.views,
        {
            "ACCOUNT": lambda view: view.account,
            "ID": lambda view: view.task_id,
            "PHASE": _phase,
            "SINCE": lambda view: ago(view.ended_at or view.added_at, now),
            "ETA": lambda view: eta(found.eta(view), now),
            "NEXT POLL": lambda view: "-" if view.ended_at else due(view.next_poll_at, now),
            "POLLS": lambda view: str(view.polls),
            "LABEL": lambda view: view.label or "",
            "RESULT": lambda view: " ".join(view.urls) or view.reason or "",
        },
    )


def _lines(found: WatchList, screen: Screen) -> Sequence[str]:
    """The table for a terminal. The account is shown only if there are several."""
    several = len({view.account for view in found.views}) > 1
    columns: Sequence[Column[WatchView]] = [
        Column("PHASE", lambda view: screen.marked(PHASE_MARKS.get(view.phase, BAD), _phase(view)), style=MARK),
        Column("AGO", lambda view: age(view.ended_at or view.added_at, found.now), goes=2, style="dim"),
        Column("ACCOUNT", lambda view: view.account if several else "", least=8, rank=3, goes=1),
        Column("ID", lambda view: view.task_id, least=19, rank=4, middle=is_id, style="bold"),
        Column("LABEL", lambda view: view.label or "", least=12, rank=2, goes=3),
        Column(
            "RESULT",
            lambda view: _result(view, found),
            least=22,
            rank=1,
            middle=is_url,
            link=lambda view: "".join(view.urls[:1]),
        ),
    ]
    return list(table_lines(found.views, columns, screen))


def _phase(view: WatchView) -> str:
    is_underway = view.progress is not None and view.ended_at is None
    return f"{view.phase} {view.progress:.0f}%" if is_underway else view.phase


def _result(view: WatchView, found: WatchList) -> str:
    """The result of the task, or its next step."""
    if view.ended_at is not None:
        more = f" (+{len(view.urls) - 1})" if len(view.urls) > 1 else ""
        return f"{view.urls[0]}{more}" if view.urls else view.reason or ""
    expected = found.eta(view)
    if expected is not None and not is_vague(expected, found.now):
        return when_done(expected, found.now)
    return "" if view.next_poll_at is None else f"next poll {due(view.next_poll_at, found.now)}"
