"""Addresses with a key of the store: `callback-url`, and `revoke-links` for links to copies."""

from __future__ import annotations

import os

import click

from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.config.secret import fill
from bridge.control.lookup import known_account
from bridge.domain.store_key import KeyPurpose, callback_path
from bridge.errors import ConfigError
from bridge.wiring.account_catalogue import known_providers


@command("callback-url")
@click.argument("account")
def callback_url_command(session: CommandSession, account: str) -> None:
    """Print the address for a provider's callbacks.

    Give it to the provider when you create a task. genbridge then polls the task whenever a callback comes. Anybody who
    knows the address can cause polls, so treat it like a key.
    """
    file = session.file
    known_account(file, account)
    if file.public_url is None:
        message = "is missing; write the address at which providers reach genbridge, e.g. https://bridge.example.com"
        raise ConfigError([file.problem(("http", "public_url"), message)])
    try:
        public_url = fill(file.public_url, os.environ)
    except ValueError as error:
        raise ConfigError([file.problem(("http", "public_url"), str(error))]) from None
    with session.store() as store:
        key = store.ensure_key(KeyPurpose.CALLBACKS, now=SystemClock().now())
    click.echo(public_url.rstrip("/") + callback_path(key, account))
    rule = known_providers(file)[file.accounts[account].provider].callback
    if rule is not None and rule.field is not None:
        click.echo(f"note: set it as {rule.field} at the provider", err=True)


@command("revoke-links")
def revoke_links_command(session: CommandSession) -> None:
    """Make every existing link to a copy invalid.

    Use it if links have leaked. Links that genbridge sends afterwards are valid. A running daemon notices the change at
    once.
    """
    with session.store() as store:
        store.renew_key(KeyPurpose.RESULTS, now=SystemClock().now())
    click.echo("all links to copies are invalid now")
