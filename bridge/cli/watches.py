"""`list`, `show`, `explain`: what is watched and what became of it."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.session import Session, command, json_option
from bridge.cli.story import print_story
from bridge.cli.tasks import find_keys
from bridge.cli.text import ago, print_json, print_table, rfc3339
from bridge.clock import SystemClock
from bridge.domain.task import Phase
from bridge.store.views import DeliveryView, WatchView


@command("list")
@click.option("--phase", type=click.Choice([phase.value for phase in Phase]), help="Only watches in this phase.")
@click.option("--account", help="Only this account's.")
@click.option("--label", help="Only those with this label.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest first.")
@json_option
@click.pass_obj
def list_command(
    session: Session, phase: str | None, account: str | None, label: str | None, limit: int | None, as_json: bool
) -> None:
    """List watches, the newest first."""
    with session.store() as store:
        views = store.list_watches(phase=Phase(phase) if phase else None, account=account, label=label, limit=limit)
    if as_json:
        print_json([watch_json(view) for view in views])
        return
    now = SystemClock().now()
    rows = [
        [
            view.account,
            view.task_id,
            view.phase + (f" {view.progress:.0f}%" if view.progress is not None and view.ended_at is None else ""),
            ago(view.ended_at or view.added_at, now),
            "-" if view.ended_at else ago(view.next_poll_at, now),
            str(view.polls),
            view.label or "",
            " ".join(view.urls) or view.reason or "",
        ]
        for view in views
    ]
    print_table(["ACCOUNT", "ID", "PHASE", "SINCE", "NEXT POLL", "POLLS", "LABEL", "RESULT"], rows)


@command("show")
@click.argument("task_id", metavar="ID")
@click.option("--account", help="When several accounts watch this id.")
@json_option
@click.pass_obj
def show_command(session: Session, task_id: str, account: str | None, as_json: bool) -> None:
    """Show one watch with its deliveries."""
    with session.store() as store:
        [key] = find_keys(store, [task_id], account)
        view = store.view(key)
        deliveries = store.deliveries_of(key)
    shown = {**watch_json(view), "deliveries": [delivery_json(one) for one in deliveries]}
    if as_json:
        print_json(shown)
        return
    rows = [[name, _plain(value)] for name, value in shown.items() if name != "deliveries"]
    print_table(["FIELD", "VALUE"], rows)
    if deliveries:
        click.echo()
        print_deliveries(deliveries)


@command("explain")
@click.argument("task_id", metavar="ID")
@click.option("--account", help="When several accounts watch this id.")
@click.pass_obj
def explain_command(session: Session, task_id: str, account: str | None) -> None:
    """Tell the story of one task in order.

    Where it came from, what was answered how often, the last error, when the next poll is and why then, and every
    delivery with its attempts.
    """
    with session.store() as store:
        [key] = find_keys(store, [task_id], account)
        story = store.story(key)
    print_story(story, SystemClock().now())


def watch_json(view: WatchView) -> dict[str, Any]:
    """One watch as `--json` shows it."""
    return {
        "account": view.account,
        "id": view.task_id,
        "action": view.action,
        "label": view.label,
        "meta": view.meta,
        "phase": view.phase,
        "added_at": rfc3339(view.added_at),
        "ended_at": rfc3339(view.ended_at),
        "next_poll_at": rfc3339(view.next_poll_at),
        "polls": view.polls,
        "progress": view.progress,
        "urls": list(view.urls),
        "reason": view.reason,
    }


def delivery_json(view: DeliveryView) -> dict[str, Any]:
    """One delivery as `--json` shows it."""
    return {
        "event_id": view.event_id,
        "endpoint": view.endpoint,
        "topic": view.topic,
        "account": view.account,
        "id": view.task_id,
        "state": view.state,
        "attempts": view.attempts,
        "next_attempt_at": rfc3339(view.next_attempt_at),
        "last_outcome": view.last_outcome,
    }


def print_deliveries(views: list[DeliveryView]) -> None:
    """A table of deliveries."""
    now = SystemClock().now()
    rows = [
        [
            view.event_id,
            view.endpoint,
            view.topic,
            view.task_id or view.account,
            view.state,
            str(view.attempts),
            ago(view.next_attempt_at, now) if view.state == "waiting" else "-",
            view.last_outcome or "",
        ]
        for view in views
    ]
    print_table(["EVENT", "ENDPOINT", "TOPIC", "TASK", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "LAST OUTCOME"], rows)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
