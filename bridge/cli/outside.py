"""`test`, and the online half of `check`: trying out whom the settings name."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import click

from bridge.cli.deliveries import known_endpoint
from bridge.cli.secrets import resolved
from bridge.cli.session import Session, command
from bridge.cli.text import count, span
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.domain.delivery import Accepted, Outcome
from bridge.domain.text import printable
from bridge.logs import hidden
from bridge.wiring import Workshop, check, short_lived


@command("test")
@click.argument("endpoint")
@click.pass_obj
def test_command(session: Session, endpoint: str) -> int:
    """Send a sample to an endpoint and say what it answered.

    The sample is a `task_succeeded` about a task nobody has; nothing is written down.

    Exit 0 when it was accepted, 1 when it was not.
    """
    known_endpoint(session, endpoint)
    loaded = resolved(session)
    check(loaded, services=True)

    async def send() -> Sequence[tuple[str, Outcome]]:
        async with Workshop(SystemClock()) as workshop:
            return await workshop.send_sample(loaded, endpoint)

    failed = False
    for target, outcome in anyio.run(send):
        accepted = isinstance(outcome, Accepted)
        failed = failed or not accepted
        detail = outcome.detail if isinstance(outcome, Accepted) else outcome.reason
        place = f"{endpoint}[{target}]" if target else endpoint
        click.echo(f"{place}: {'accepted' if accepted else 'FAILED'}: {printable(hidden(detail))}")
    return 1 if failed else 0


@command("check")
@click.option("--online", is_flag=True, help="Also ask each account one harmless question and reach each endpoint.")
@click.pass_obj
def check_command(session: Session, online: bool) -> int:
    """Check the settings, with every secret they name.

    Every mistake is a line `file:line:column: key: what is wrong; how to mend it`, and the exit code is 78.

    With --online the exit code is 1 when an account or an endpoint does not work. Nobody is told anything.
    """
    loaded = resolved(session)
    for warning in loaded.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    check(loaded, services=True)
    settings = loaded.settings
    retried = span(sum(settings.delivery.retries_s))
    for name, lasts_s in short_lived(loaded).items() if settings.endpoints else ():
        what = (
            f"results last {span(lasts_s)}, and deliveries are retried for {retried} (delivery.retries): "
            "whoever is told later than expires_at finds nothing there"
        )
        click.echo(f"warning: {loaded.problem(('accounts', name), what)}", err=True)
    accounts, endpoints = count(len(settings.accounts), "account"), count(len(settings.endpoints), "endpoint")
    click.echo(f"{loaded.path}: good: {accounts}, {endpoints}")
    click.echo(f"store: {session.store_place}")
    if not online:
        return 0
    return 0 if anyio.run(_reach, loaded) else 1


async def _reach(loaded: Loaded) -> bool:
    good = True
    async with Workshop(SystemClock()) as workshop:
        async for name, works, detail in workshop.reach(loaded):
            good = good and works
            click.echo(f"{name}: {'good' if works else 'FAILED'}: {printable(hidden(detail))}")
    return good
