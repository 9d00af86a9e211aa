"""`list`, and how watches and deliveries look: what is watched and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bridge.cli.foresight import Foresight, eta, eta_json, foresight
from bridge.cli.options import json_option, limit_option
from bridge.cli.session import Session, command
from bridge.cli.text import ago, due, print_json, print_table, rfc3339, storable
from bridge.clock import SystemClock
from bridge.domain.task import Phase
from bridge.store.views import DeliveryView, WatchView

TASK_TOPICS = "task_"  # how the topics begin whose subject is a task


@command("list")
@click.option("--phase", type=click.Choice([phase.value for phase in Phase]), help="Only watches in this phase.")
@click.option("--account", metavar="NAME", help="Only this account's.")
@click.option("--label", metavar="TEXT", help="Only those with exactly this label.")
@limit_option
@json_option
@click.pass_obj
def list_command(
    session: Session, phase: str | None, account: str | None, label: str | None, limit: int | None, as_json: bool
) -> None:
    """List watches, the one added last first.

    SINCE says when it ended, or when it was added while it has not; ETA when four of five such tasks end.
    """
    now = SystemClock().now()
    with session.store() as store:
        views = store.list_watches(
            phase=Phase(phase) if phase else None,
            account=account and storable(account),
            label=label and storable(label),
            limit=limit,
        )
        foreseen = foresight(session, store)
    if as_json:
        print_json([{**watch_json(view), **eta_json(foreseen.of(view, now))} for view in views])
    elif views:
        print_watches(views, foreseen, now)
    else:
        filtered = phase or account or label
        click.echo("no watch is like that" if filtered else "nothing is watched: `genbridge add ID`", err=True)


def print_watches(views: Sequence[WatchView], foreseen: Foresight, now: float) -> None:
    """A table of watches, with the expected end of each."""
    rows = (
        [
            view.account,
            view.task_id,
            view.phase + (f" {view.progress:.0f}%" if view.progress is not None and view.ended_at is None else ""),
            ago(view.ended_at or view.added_at, now),
            eta(foreseen.of(view, now), now),
            "-" if view.ended_at else due(view.next_poll_at, now),
            str(view.polls),
            view.label or "",
            " ".join(view.urls) or view.reason or "",
        ]
        for view in views
    )
    print_table(["ACCOUNT", "ID", "PHASE", "SINCE", "ETA", "NEXT POLL", "POLLS", "LABEL", "RESULT"], rows)


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
    """One delivery as `--json` shows it; `id` is null where it is not about a task."""
    return {
        "event_id": view.event_id,
        "endpoint": view.endpoint,
        "topic": view.topic,
        "account": view.account or None,
        "id": view.task_id if view.topic.startswith(TASK_TOPICS) else None,
        "state": view.state,
        "attempts": view.attempts,
        "next_attempt_at": rfc3339(view.next_attempt_at),
        "last_outcome": view.last_outcome,
    }


def print_deliveries(views: Sequence[DeliveryView]) -> None:
    """A table of deliveries."""
    now = SystemClock().now()
    rows = (
        [
            view.event_id,
            view.place,
            view.topic,
            view.task_id or view.account,
            view.state,
            str(view.attempts),
            due(view.next_attempt_at, now) if view.state == "waiting" else "-",
            view.last_detail or view.last_outcome or "",
        ]
        for view in views
    )
    print_table(["EVENT", "ENDPOINT", "TOPIC", "TASK", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "LAST OUTCOME"], rows)
