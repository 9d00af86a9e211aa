"""`deliveries`, `redeliver`, `enable`, `test`: what was handed over, and handing over again."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import click

from bridge import wiring
from bridge.cli.session import Session, command, json_option
from bridge.cli.text import print_json, safe
from bridge.cli.watches import delivery_json, print_deliveries
from bridge.clock import SystemClock
from bridge.config.durations import parse_duration
from bridge.domain.delivery import Accepted, DeliveryState, Outcome
from bridge.errors import UnknownError, UsageError


@command("deliveries")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only these.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest first.")
@json_option
@click.pass_obj
def deliveries_command(session: Session, state: str | None, limit: int | None, as_json: bool) -> None:
    """List deliveries, the newest first: what each endpoint was told, and what it answered."""
    with session.store() as store:
        views = store.list_deliveries(state=DeliveryState(state) if state else None, limit=limit)
    if as_json:
        print_json([delivery_json(view) for view in views])
    else:
        print_deliveries(views)


@command("redeliver")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@click.option("--dead", is_flag=True, help="Everything that was given up.")
@click.option("--since", metavar="DURATION", help="Every event of the last so long, e.g. 2h, delivered or not.")
@click.option("--endpoint", help="Only to this endpoint.")
@click.pass_obj
def redeliver_command(
    session: Session, event_ids: Sequence[str], dead: bool, since: str | None, endpoint: str | None
) -> None:
    """Send again what has been sent or given up: the same id and the same bytes, so receivers can tell repeats."""
    if sum([bool(event_ids), dead, since is not None]) != 1:
        raise UsageError("name event ids, or --dead, or --since: exactly one of the three")
    if endpoint is not None:
        _known_endpoint(session, endpoint)
    now = SystemClock().now()
    try:
        since_at = None if since is None else now - parse_duration(since)
    except ValueError as error:
        raise UsageError(f"--since: {error}") from None
    with session.store() as store:
        count = store.redeliver(event_ids=event_ids, dead=dead, since=since_at, endpoint=endpoint, now=now)
    if event_ids and not count:
        raise UnknownError("no such event: `genbridge deliveries` lists them")
    click.echo(f"{count} deliveries will be sent again")


@command("enable")
@click.argument("endpoint")
@click.pass_obj
def enable_command(session: Session, endpoint: str) -> None:
    """Send to an endpoint again that had answered 410 Gone; what has waited goes out now."""
    _known_endpoint(session, endpoint)
    with session.store() as store:
        changed = store.enable(endpoint, now=SystemClock().now())
    click.echo(f"{endpoint}: {'enabled' if changed else 'was not disabled'}")


@command("test")
@click.argument("endpoint")
@click.pass_obj
def test_command(session: Session, endpoint: str) -> int:
    """Send a sample `task_succeeded` to an endpoint and say what it answered. Nothing is written down."""
    _known_endpoint(session, endpoint)
    loaded = session.resolved()

    async def send() -> Sequence[tuple[str, Outcome]]:
        async with wiring.Workshop(SystemClock()) as workshop:
            return await workshop.send_sample(loaded, endpoint)

    failed = False
    for target, outcome in anyio.run(send):
        accepted = isinstance(outcome, Accepted)
        failed = failed or not accepted
        detail = outcome.detail if isinstance(outcome, Accepted) else outcome.reason
        place = f"{endpoint}[{target}]" if target else endpoint
        click.echo(f"{place}: {'accepted' if accepted else 'failed'}: {safe(detail)}")
    return 1 if failed else 0


def _known_endpoint(session: Session, endpoint: str) -> None:
    known = session.loaded.settings.endpoints
    if endpoint not in known:
        raise UnknownError(
            f"no endpoint {safe(endpoint)} in {session.loaded.path}; there are: {', '.join(known) or 'none'}"
        )
