"""`deliveries`, `redeliver` and `enable`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from bridge.cli.options import json_option, limit_option, since_option, wide_option
from bridge.cli.output import MARK, Column, is_id, print_json, print_table, table_lines
from bridge.cli.session import CommandSession, clock_of, command
from bridge.control.delivery_list import DeliveryList, enable, list_deliveries, planned_redelivery, redeliver
from bridge.control.formats import age, due
from bridge.control.lookup import find_keys
from bridge.control.store_now import StoreNow
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Topic
from bridge.domain.filters import EVERY_DELIVERY, DeliveryFilter
from bridge.domain.plurals import count
from bridge.domain.views import DeliveryView
from bridge.errors import UsageError
from bridge.screen import BAD, BUSY, GONE, GOOD, Screen, screen_of

NEWEST: Final = 20  # on a terminal, unless a filter requests more

STATE_MARKS: Final = {
    DeliveryState.WAITING: BUSY,
    DeliveryState.ACCEPTED: GOOD,
    DeliveryState.DEAD: BAD,
    DeliveryState.CANCELED: GONE,
}


@command("deliveries")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only those in this state.")
@click.option("--endpoint", metavar="NAME", help="Only those to this endpoint.")
@click.option("--topic", type=click.Choice([topic.value for topic in Topic]), metavar="TOPIC", help="Only this topic.")
@click.option("--task", metavar="ID", help="Only those of this task: ID or ACCOUNT/ID.")
@since_option("Only those created since TIME: 2025-11-01T12:00Z, or 2h for the last 2 hours.")
@limit_option
@wide_option
@json_option
def deliveries_command(
    session: CommandSession,
    /,
    state: str | None,
    task: str | None,
    limit: int | None,
    as_json: bool,
    wide: bool,
    **given: Any,
) -> None:
    """List deliveries, the newest first.

    Shows what was sent to each endpoint, and what it answered. On a terminal: the newest 20, cut to the
    terminal's width. --limit, --task and --since show more; --wide and --json show every value. In a pipe: every
    delivery, one line each, nothing cut.
    """
    wanted = DeliveryFilter(states=(DeliveryState(state),) if state else (), **given)
    screen = screen_of(sys.stdout)
    is_short = screen.is_terminal and not (as_json or limit or task or given["since"])
    with session.asking() as at:
        if task is not None:
            [key] = find_keys(at, [task], None)
            wanted = wanted._replace(watch=key)
        most = NEWEST if is_short else limit
        found = list_deliveries(at, wanted, limit=most)
    if as_json:
        print_json(found.json())
    elif found.views:
        print_deliveries(found, wide=wide)
    else:
        click.echo("there are no deliveries" if wanted == EVERY_DELIVERY else "no matching deliveries", err=True)
    if is_short and found.next is not None:
        click.echo("there are older ones: `genbridge deliveries | less` shows all", err=True)
    if screen.is_terminal and not as_json and any(view.state is DeliveryState.WAITING for view in found.views):
        session.hint_at_daemon()


def print_deliveries(found: DeliveryList, *, wide: bool = False) -> None:
    """Print a table of deliveries. On a terminal it is cut to the width, unless `wide`."""
    screen = screen_of(sys.stdout)
    if screen.is_terminal and not wide:
        click.echo("\n".join(_lines(found, screen)))
        return
    print_table(
        found.views,
        {
            "EVENT": lambda view: view.event_id,
            "ENDPOINT": lambda view: view.place,
            "TOPIC": lambda view: view.topic,
            "TASK": lambda view: view.task_id or view.account,
            "STATE": lambda view: view.state,
            "ATTEMPTS": lambda view: str(view.attempts),
            "NEXT ATTEMPT": lambda view: due(view.next_attempt_at, found.waits.now) if view.state == "waiting" else "-",
            "LAST OUTCOME": found.last_outcome,
        },
    )


def _lines(found: DeliveryList, screen: Screen) -> Iterator[str]:
    columns: Sequence[Column[DeliveryView]] = [
        Column("STATE", lambda view: screen.marked(STATE_MARKS[view.state], view.state), style=MARK),
        Column("AGO", lambda view: age(view.created_at, found.waits.now), goes=1, style="dim"),
        Column("TASK", lambda view: view.task_id or view.account, least=16, rank=2, middle=is_id, style="bold"),
        Column("EVENT", lambda view: view.topic.removeprefix("task_"), least=9, rank=4, goes=2),
        Column("ENDPOINT", lambda view: view.place, least=10, rank=3, middle=is_id),
        Column("ANSWER", lambda view: _answer(view, found), least=22, rank=1),
    ]
    return table_lines(found.views, columns, screen)


def _answer(view: DeliveryView, found: DeliveryList) -> str:
    """The answer to the last attempt, the number of attempts if there was more than one, and the time of the next."""
    is_waiting = view.state is DeliveryState.WAITING and view.next_attempt_at is not None
    following = f"next {due(view.next_attempt_at, found.waits.now)}" if is_waiting else ""
    tries = f"attempt {view.attempts}" if view.attempts > 1 else ""
    return "; ".join(filter(None, [following, found.last_outcome(view), tries]))


@command("redeliver")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@click.option("--dead", is_flag=True, help="All dead deliveries, except copies to the archive.")
@since_option("All deliveries created since TIME (2025-11-01T12:00Z, or 2h for the last 2 hours).")
@click.option("--endpoint", metavar="NAME", help="Only to this endpoint.")
def redeliver_command(
    session: CommandSession, event_ids: tuple[str, ...], dead: bool, since: float | None, endpoint: str | None
) -> None:
    """Send deliveries again: accepted, dead or waiting.

    Id and bytes stay the same, so receivers can recognize the repeat.
    """
    if sum([bool(event_ids), dead, since is not None]) != 1:
        raise UsageError("give exactly one of: event ids, --dead, --since")
    states = (DeliveryState.DEAD,) if dead else ()
    wanted = DeliveryFilter(event_ids=event_ids, states=states, since=since, endpoint=endpoint)
    with session.store() as store:
        planned = planned_redelivery(StoreNow(store, session.file, clock_of(store).now()), wanted)
        number = redeliver(store, session.file, wanted)
    click.echo(f"{count(number, 'delivery')} will be sent again")
    if number:
        for name, why in planned.off.items():
            click.echo(f"note: nothing is sent to {name} now: {why}", err=True)
        session.hint_at_daemon()


@command("enable")
@click.argument("endpoint")
def enable_command(session: CommandSession, endpoint: str) -> None:
    """Send again to an endpoint that is disabled or asked to wait.

    An endpoint is disabled if it answered 410 Gone. Its waiting deliveries are sent now.
    """
    with session.store() as store:
        was_disabled, was_held = enable(store, session.file, endpoint, now=clock_of(store).now())
    held = "no longer waits" if was_held else "was not disabled"
    click.echo(f"{endpoint}: {'enabled' if was_disabled else held}")
    if was_disabled or was_held:
        session.hint_at_daemon()
