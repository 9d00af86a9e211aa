"""`revoke-links`."""

from __future__ import annotations

import click

from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.domain.store_key import KeyPurpose


@command("revoke-links")
@click.pass_obj
def revoke_links_command(session: CommandSession) -> None:
    """Make every link to a copy invalid.

    Use it if links have leaked. Links that genbridge sends from now on work. A running daemon notices at once.
    """
    with session.store() as store:
        store.renew_key(KeyPurpose.RESULTS, now=SystemClock().now())
    click.echo("all links to copies are invalid now")
