"""`withdraw` and `poll`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import click

from bridge.cli.options import account_option
from bridge.cli.session import CommandSession, clock_of, command
from bridge.control.lookup import find_keys
from bridge.control.store_now import StoreNow
from bridge.control.watch_requests import poll_now, withdraw
from bridge.domain.quoting import printable
from bridge.domain.views import RequestResult


@command("withdraw")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@account_option
def withdraw_command(session: CommandSession, ids: Sequence[str], account: str | None) -> None:
    """Stop watching tasks, without an event.

    A task that a watchlist still names stays withdrawn until you remove it from the list and add it again.
    """
    _request(session, withdraw, ids, account)


@command("poll")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@account_option
def poll_command(session: CommandSession, ids: Sequence[str], account: str | None) -> None:
    """Poll these tasks now.

    A running daemon polls them as soon as the account's limits allow.
    """
    if _request(session, partial(poll_now, accounts=session.file.accounts), ids, account):
        session.hint_at_daemon()


def _request(
    session: CommandSession,
    request: Callable[..., list[tuple[RequestResult, str]]],
    ids: Sequence[str],
    account: str | None,
) -> bool:
    """Print the result for each task; returns whether anything was done."""
    with session.store() as store:
        now = clock_of(store).now()
        answers = request(store, find_keys(StoreNow(store, session.file, now), ids, account), now=now)
    for (key, _, _), detail in answers:
        click.echo(f"{key.account}/{printable(key.task_id)}: {detail}")
    return any(touched.done for touched, _ in answers)
