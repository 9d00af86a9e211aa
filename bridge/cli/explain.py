"""`explain`: what happened to one task, and what is next."""

from __future__ import annotations

import sys

import click

from bridge.cli.options import account_option, json_option
from bridge.cli.output import print_json
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.control.explanation import explain
from bridge.control.lookup import find_keys
from bridge.domain.quoting import printable
from bridge.screen import fitted, screen_of


@command("explain")
@click.argument("task_id", metavar="ID")
@account_option
@json_option
@click.pass_obj
def explain_command(session: CommandSession, task_id: str, account: str | None, as_json: bool) -> None:
    """Explain what happened to one task, in order.

    Shows where it came from, how often each answer came, the last error, when the next poll is and why, and every
    delivery with its attempts.
    """
    rates = {name: each.limits.rate for name, each in session.checked().settings.accounts.items()}
    with session.reader() as store:
        [key] = find_keys(store, session.file, [task_id], account)
        found = explain(
            store,
            session.file,
            key,
            now=SystemClock().now(),
            daemon=session.daemon(),
            rates=rates,
        )
    if as_json:
        print_json(found.json())
        return
    screen = screen_of(sys.stdout)
    for line in map(printable, found.lines()):
        is_heading = bool(line) and not line.startswith(" ")
        text = fitted(line, screen, hang=2)
        click.echo(screen.painted(text, "bold") if is_heading else text)
