"""`withdraw` and `poll`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.cli.options import account_option
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.control.lookup import find_keys
from bridge.control.watch_requests import poll_now, withdraw


@command("withdraw")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@account_option
@click.pass_obj
def withdraw_command(session: CommandSession, ids: Sequence[str], account: str | None) -> None:
    """Stop watching tasks, without an event.

    A task that a watchlist still names stays withdrawn until you remove it from the list and add it again.
    """
    with session.store() as store:
        lines, _ = withdraw(store, find_keys(store, session.file, ids, account), now=SystemClock().now())
    for line in lines:
        click.echo(line)


@command("poll")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@account_option
@click.pass_obj
def poll_command(session: CommandSession, ids: Sequence[str], account: str | None) -> None:
    """Poll these tasks now.

    A running daemon polls them as soon as the account's limits allow.
    """
    with session.store() as store:
        lines, any_polled = poll_now(store, find_keys(store, session.file, ids, account), now=SystemClock().now())
    for line in lines:
        click.echo(line)
    if any_polled:
        session.hint_at_daemon()
