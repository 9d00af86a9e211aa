"""`deliveries`, `redeliver`, `enable`: what was handed over, and handing over again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.cli.options import json_option, limit_option
from bridge.cli.options import since as parse_since
from bridge.cli.session import Session, command
from bridge.cli.text import count, print_json, storable
from bridge.cli.watches import delivery_json, print_deliveries
from bridge.domain.delivery import DeliveryState
from bridge.domain.text import printable
from bridge.errors import UnknownError, UsageError


@command("deliveries")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only these.")
@limit_option
@json_option
@click.pass_obj
def deliveries_command(session: Session, state: str | None, limit: int | None, as_json: bool) -> None:
    """List deliveries, the newest first.

    What each endpoint was told, and what it answered.
    """
    with session.store() as store:
        views = store.list_deliveries(state=DeliveryState(state) if state else None, limit=limit)
    if as_json:
        print_json([delivery_json(view) for view in views])
    elif views:
        print_deliveries(views)
    else:
        click.echo("no delivery is like that" if state else "there are no deliveries", err=True)


@command("redeliver")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@click.option("--dead", is_flag=True, help="Everything that was given up.")
@click.option(
    "--since",
    type=parse_since,
    metavar="TIME",
    help="Every event since 2025-11-01T12:00Z, or of the last 2h, told or not.",
)
@click.option("--endpoint", metavar="NAME", help="Only to this endpoint.")
@click.pass_obj
def redeliver_command(
    session: Session, event_ids: Sequence[str], dead: bool, since: float | None, endpoint: str | None
) -> None:
    """Send again what has been sent or given up.

    The id and the bytes stay the same, so receivers can tell that it is a repeat.
    """
    if sum([bool(event_ids), dead, since is not None]) != 1:
        raise UsageError("name event ids, or --dead, or --since: exactly one of the three")
    if endpoint is not None:
        known_endpoint(session, endpoint)
    ids = [storable(one) for one in event_ids]
    with session.store() as store:
        if event_ids:
            known = {view.event_id for view in store.list_deliveries(event_ids=ids)}
            unknown = [one for one in event_ids if one not in known]
            if unknown:
                raise UnknownError(f"no event {printable(unknown[0])}: `genbridge deliveries` lists them")
        number = store.redeliver(event_ids=ids, dead=dead, since=since, endpoint=endpoint)
    click.echo(f"{count(number, 'delivery')} will be sent again")
    if number:
        session.hint_at_daemon()


@command("enable")
@click.argument("endpoint")
@click.pass_obj
def enable_command(session: Session, endpoint: str) -> None:
    """Send again to an endpoint that had answered 410 Gone.

    What has waited for it goes out now.
    """
    known_endpoint(session, endpoint)
    with session.store() as store:
        changed = store.enable(endpoint)
    click.echo(f"{endpoint}: {'enabled' if changed else 'was not disabled'}")
    if changed:
        session.hint_at_daemon()


def known_endpoint(session: Session, endpoint: str) -> None:
    """UnknownError, with those there are, unless the settings hold this endpoint."""
    known = session.loaded.settings.endpoints
    if endpoint not in known:
        raise UnknownError(
            f"no endpoint {printable(endpoint)} in {session.loaded.path}; there are: {', '.join(known) or 'none'}"
        )
