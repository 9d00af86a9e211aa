"""`list`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.options import json_option, limit_option, since_option
from bridge.cli.output import print_json, print_table
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.control.estimates import eta
from bridge.control.formats import ago, due
from bridge.control.watch_list import WatchList, list_watches
from bridge.domain.task import LIVE, Phase
from bridge.errors import UsageError
from bridge.store.selection import EVERY_WATCH, WatchFilter
from bridge.store.views import WatchView


@command("list")
@click.option("--phase", type=click.Choice([phase.value for phase in Phase]), help="Only tasks in this phase.")
@click.option("--live", is_flag=True, help="Only tasks that have not finished.")
@click.option("--account", metavar="NAME", help="Only tasks of this account.")
@click.option("--label", metavar="TEXT", help="Only tasks with exactly this label.")
@since_option("Only tasks added or finished since 2025-11-01T12:00Z, or within the last 2h.")
@limit_option
@json_option
@click.pass_obj
def list_command(
    session: CommandSession, /, phase: str | None, live: bool, limit: int | None, as_json: bool, **given: Any
) -> None:
    """List watched tasks, the most recently added first.

    SINCE is when the task finished, or else when it was added. ETA is when 80 % of similar tasks finish.
    """
    if phase and live:
        raise UsageError("give --phase or --live, not both")
    phases = tuple(sorted(LIVE)) if live else (Phase(phase),) if phase else ()
    wanted = WatchFilter(phases=phases, **given)
    with session.reader() as store:
        found = list_watches(store, session.file, wanted, now=SystemClock().now(), limit=limit)
    if as_json:
        print_json(found.json())
    elif found.views:
        _print_watches(found)
    elif wanted == EVERY_WATCH:
        click.echo("nothing is watched: `genbridge add ID` adds a task", err=True)
    else:
        click.echo("no matching tasks", err=True)


def _print_watches(found: WatchList) -> None:
    """A table of watches, with the expected end of each."""
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


def _phase(view: WatchView) -> str:
    is_underway = view.progress is not None and view.ended_at is None
    return f"{view.phase} {view.progress:.0f}%" if is_underway else view.phase
