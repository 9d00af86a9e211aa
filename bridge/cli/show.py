"""`show` and `explain`: one watch, as it is and as it came to be."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.foresight import eta, eta_json, foresight
from bridge.cli.keys import find_keys
from bridge.cli.options import account_option, json_option
from bridge.cli.session import Session, command
from bridge.cli.story import Around, lines
from bridge.cli.text import json_text, print_json, print_table
from bridge.cli.watches import delivery_json, print_deliveries, watch_json
from bridge.clock import SystemClock
from bridge.domain.text import printable


@command("show")
@click.argument("task_id", metavar="ID")
@account_option
@json_option
@click.pass_obj
def show_command(session: Session, task_id: str, account: str | None, as_json: bool) -> None:
    """Show one watch with its deliveries."""
    now = SystemClock().now()
    with session.store() as store:
        [key] = find_keys(session, store, [task_id], account)
        view = store.view(key)
        deliveries = store.deliveries_of(key)
        expected = foresight(session, store).of(view, now)
    shown = {**watch_json(view), **eta_json(expected)}
    if as_json:
        print_json({**shown, "deliveries": [delivery_json(one) for one in deliveries]})
        return
    print_table(["FIELD", "VALUE"], [[name, _plain(value)] for name, value in shown.items()])
    if deliveries:
        click.echo()
        print_deliveries(deliveries)


@command("explain")
@click.argument("task_id", metavar="ID")
@account_option
@click.pass_obj
def explain_command(session: Session, task_id: str, account: str | None) -> None:
    """Tell the story of one task in order.

    Where it came from, what was answered how often, the last error, when the next poll is and why then, and every
    delivery with its attempts.
    """
    now = SystemClock().now()
    with session.store() as store:
        [key] = find_keys(session, store, [task_id], account)
        story = store.story(key)
        held_back = store.accounts().get(key.account)
        expected = foresight(session, store).of(store.view(key), now)
        late = store.count_due(key.account, now)
        notes_every_s = store.notes_every_s
    around = Around(
        now=now,
        notes_every_s=notes_every_s,
        eta=eta(expected, now),
        daemon=session.daemon(),
        accounts={name: each.limits.rate for name, each in session.loaded.settings.accounts.items()},
        due=late,
        endpoints=session.loaded.settings.endpoints.keys(),
        account=held_back,
    )
    for line in lines(story, around):
        click.echo(printable(line))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return json_text(value)
    return "" if value is None else str(value)
