"""`pause` and `resume`."""

from __future__ import annotations

import click

from bridge.cli.options import duration
from bridge.cli.session import CommandSession, clock_of, command
from bridge.control.formats import rfc3339
from bridge.control.pausing import pause, resume
from bridge.domain.pause import PauseOf

DONE = {PauseOf.ACCOUNT: "polled", PauseOf.ENDPOINT: "sent"}


@command("pause")
@click.argument("name", metavar="ENDPOINT|ACCOUNT")
@click.option(
    "--for", "for_s", type=duration, metavar="DURATION", help="Resume automatically after this time, e.g. 2h."
)
def pause_command(session: CommandSession, name: str, for_s: float | None) -> None:
    """Pause an endpoint or an account for maintenance.

    Nothing is sent to the endpoint, or polled for the account. Meanwhile no task times out, and no retry is used up.
    The pause survives restarts. It ends with `genbridge resume`, or after --for. Requests in flight still finish.
    """
    if for_s == 0:
        raise click.BadParameter("must be more than 0", param_hint="--for")
    with session.store() as store:
        now = clock_of(store).now()
        until_at = None if for_s is None else now + for_s
        of, known = pause(store, session.file, name, now=now, until_at=until_at)
    end = "until `genbridge resume`" if until_at is None else f"until {rfc3339(until_at)}"
    click.echo(f"{of} {known}: paused, nothing is {DONE[of]} {end}")


@command("resume")
@click.argument("name", metavar="ENDPOINT|ACCOUNT")
def resume_command(session: CommandSession, name: str) -> None:
    """End the pause of an endpoint or an account.

    Waiting work starts at once, within the usual limits.
    """
    with session.store() as store:
        of, known, was_paused = resume(store, session.file, name, now=clock_of(store).now())
    click.echo(f"{of} {known}: {'resumed' if was_paused else 'was not paused'}")
