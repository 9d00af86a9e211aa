"""`withdraw` and `poll`: people's wishes about tasks that are watched."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.cli.keys import find_keys
from bridge.cli.options import account_option
from bridge.cli.session import Session, command
from bridge.clock import SystemClock
from bridge.domain.text import printable
from bridge.store.views import Touched


@command("withdraw")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@account_option
@click.pass_obj
def withdraw_command(session: Session, ids: Sequence[str], account: str | None) -> None:
    """Stop watching; no event is made.

    A task that a watchlist still names stays withdrawn until it is taken off that list and put back.
    """
    with session.store() as store:
        keys = find_keys(session, store, ids, account)
        touched = store.withdraw(keys, now=SystemClock().now())
    for one in touched:
        _say(one, "withdrawn")


@command("poll")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@account_option
@click.pass_obj
def poll_command(session: Session, ids: Sequence[str], account: str | None) -> None:
    """Ask about these tasks now.

    A running daemon does so as soon as the account's limits allow.
    """
    with session.store() as store:
        keys = find_keys(session, store, ids, account)
        touched = store.poll_now(keys, now=SystemClock().now())
    for one in touched:
        _say(one, "will be asked about as soon as its account allows")
    if any(one.done for one in touched):
        session.hint_at_daemon()


def _say(touched: Touched, done: str) -> None:
    what = done if touched.done else f"nothing to do, it is {touched.phase or 'gone'}"
    click.echo(f"{touched.key.account}/{printable(touched.key.task_id)}: {what}")
