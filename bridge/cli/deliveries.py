"""`deliveries`, `redeliver` and `enable`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.options import json_option, limit_option, since_option
from bridge.cli.output import print_json, print_table
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.control.delivery_list import (
    DeliveryList,
    enable,
    list_deliveries,
    redeliver,
)
from bridge.control.formats import count, due
from bridge.control.lookup import find_keys
from bridge.domain.delivery_state import DeliveryState
from bridge.errors import UsageError
from bridge.store.selection import EVERY_DELIVERY, DeliveryFilter


@command("deliveries")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only those in this state.")
@click.option("--endpoint", metavar="NAME", help="Only those to this endpoint.")
@click.option("--task", metavar="ID", help="Only those of this task: ID or ACCOUNT/ID.")
@since_option("Only those created since 2025-11-01T12:00Z, or within the last 2h.")
@limit_option
@json_option
@click.pass_obj
def deliveries_command(
    session: CommandSession, /, state: str | None, task: str | None, limit: int | None, as_json: bool, **given: Any
) -> None:
    """List deliveries, the newest first.

    Shows what was sent to each endpoint, and what it answered.
    """
    wanted = DeliveryFilter(states=(DeliveryState(state),) if state else (), **given)
    with session.reader() as store:
        if task is not None:
            [key] = find_keys(store, session.file, [task], None)
            wanted = wanted._replace(watch=key)
        found = list_deliveries(store, session.file, wanted, now=SystemClock().now(), limit=limit)
    if as_json:
        print_json(found.json())
    elif found.views:
        print_deliveries(found)
    else:
        click.echo("there are no deliveries" if wanted == EVERY_DELIVERY else "no matching deliveries", err=True)


def print_deliveries(found: DeliveryList) -> None:
    """A table of deliveries."""
    print_table(
        found.views,
        {
            "EVENT": lambda view: view.event_id,
            "ENDPOINT": lambda view: view.place,
            "TOPIC": lambda view: view.topic,
            "TASK": lambda view: view.task_id or view.account,
            "STATE": lambda view: view.state,
            "ATTEMPTS": lambda view: str(view.attempts),
            "NEXT ATTEMPT": lambda view: due(view.next_attempt_at, found.now) if view.state == "waiting" else "-",
            "LAST OUTCOME": found.last_outcome,
        },
    )


@command("redeliver")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@click.option("--dead", is_flag=True, help="All dead deliveries.")
@since_option("All events since 2025-11-01T12:00Z, or of the last 2h, delivered or not.")
@click.option("--endpoint", metavar="NAME", help="Only to this endpoint.")
@click.pass_obj
def redeliver_command(
    session: CommandSession, event_ids: tuple[str, ...], dead: bool, since: float | None, endpoint: str | None
) -> None:
    """Send deliveries again, accepted or dead.

    Id and bytes stay the same, so receivers recognize the repeat.
    """
    if sum([bool(event_ids), dead, since is not None]) != 1:
        raise UsageError("give exactly one of: event ids, --dead, --since")
    states = (DeliveryState.DEAD,) if dead else ()
    wanted = DeliveryFilter(event_ids=event_ids, states=states, since=since, endpoint=endpoint)
    with session.store() as store:
        number = redeliver(store, session.file, wanted)
    click.echo(f"{count(number, 'delivery')} will be sent again")
    if number:
        session.hint_at_daemon()


@command("enable")
@click.argument("endpoint")
@click.pass_obj
def enable_command(session: CommandSession, endpoint: str) -> None:
    """Send again to an endpoint that is disabled or held.

    An endpoint is disabled if it answered 410 Gone, and held if it asked genbridge to wait. Its waiting deliveries are
    sent now.
    """
    with session.store() as store:
        was_disabled, was_held = enable(store, session.file, endpoint, now=SystemClock().now())
    held = "no longer waits" if was_held else "was not disabled"
    click.echo(f"{endpoint}: {'enabled' if was_disabled else held}")
    if was_disabled or was_held:
        session.hint_at_daemon()
