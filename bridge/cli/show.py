"""`show` and `explain`: one task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from bridge.cli.deliveries import print_deliveries
from bridge.cli.options import account_option, json_option
from bridge.cli.output import json_text, print_json, print_table
from bridge.cli.session import CommandSession, command
from bridge.control.explanation import explain
from bridge.control.lookup import find_keys
from bridge.control.watch_list import watch_details
from bridge.domain.quoting import printable
from bridge.screen import fitted, padded, screen_of

NAME_CELLS: Final = 14


@command("show")
@click.argument("task_id", metavar="ID")
@account_option
@json_option
def show_command(session: CommandSession, task_id: str, account: str | None, as_json: bool) -> None:
    """Show one task with its deliveries."""
    with session.asking() as at:
        [key] = find_keys(at, [task_id], account)
        fields, deliveries = watch_details(at, key)
    if as_json:
        print_json({**fields, "deliveries": deliveries.json()})
        return
    screen = screen_of(sys.stdout)
    if screen.is_terminal:
        for name, value in fields.items():
            for number, text in enumerate(_lines(value)):
                click.echo(screen.painted(padded("" if number else name, NAME_CELLS), "dim") + printable(text))
    else:
        print_table(fields.items(), {"FIELD": lambda field: field[0], "VALUE": lambda field: _plain(field[1])})
    if deliveries.views:
        click.echo()
        print_deliveries(deliveries)


@command("explain")
@click.argument("task_id", metavar="ID")
@account_option
@json_option
def explain_command(session: CommandSession, task_id: str, account: str | None, as_json: bool) -> None:
    """Explain what happened to one task, in order.

    Shows where it came from, how often each answer came, the last error, when the next poll is and why, and every
    delivery with its attempts.
    """
    loaded = session.checked()
    with session.asking() as at:
        [key] = find_keys(at, [task_id], account)
        found = explain(at, key, loaded, daemon=session.daemon())
    if as_json:
        print_json(found.json())
        return
    screen = screen_of(sys.stdout)
    for line in map(printable, found.lines()):
        is_heading = bool(line) and not line.startswith(" ")
        text = fitted(line, screen, hang=2)
        click.echo(screen.painted(text, "bold") if is_heading else text)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return json_text(value)
    return "" if value is None else str(value)


def _lines(value: Any) -> Sequence[str]:
    """A value for a terminal: each URL on its own line, and nothing for a missing value."""
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    text = _plain(value)
    return [text] if text and value != {} else []
