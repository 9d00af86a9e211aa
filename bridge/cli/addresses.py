"""Addresses with a key of the store: `callback-url`, and `revoke-links` for links to copies."""

from __future__ import annotations

import os

import click

from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.control.callback_address import callback_address
from bridge.domain.store_key import KeyPurpose


@command("callback-url")
@click.argument("account")
@click.pass_obj
def callback_url_command(session: CommandSession, account: str) -> None:
    """Print the address for a provider's callbacks.

    Give it to the provider when you create a task. genbridge then polls the task whenever a callback comes. Anybody who
    knows the address can cause polls, so treat it like a key.
    """
    with session.store() as store:
        address = callback_address(store, session.file, account, os.environ, now=SystemClock().now())
    click.echo(address.url)
    if address.field is not None:
        click.echo(f"note: set it as {address.field} at the provider", err=True)


@command("revoke-links")
@click.pass_obj
def revoke_links_command(session: CommandSession) -> None:
    """Make every link to a copy invalid.

    Use it if links have leaked. Links that genbridge sends afterwards are valid. A running daemon notices the change at
    once.
    """
    with session.store() as store:
        store.renew_key(KeyPurpose.RESULTS, now=SystemClock().now())
    click.echo("all links to copies are invalid now")
