"""`status`: how the whole stands, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bridge.cli.options import json_option
from bridge.cli.session import Session, command
from bridge.cli.text import ago, count, print_json, rfc3339
from bridge.clock import SystemClock
from bridge.domain.text import printable
from bridge.store.views import Counts, MemberView


@command("status")
@json_option
@click.pass_obj
def status_command(session: Session, as_json: bool) -> None:
    """Show how the whole stands, at a glance.

    Whether a daemon runs, what is watched, what waits to be told, and what is held back and why.
    """
    place = session.store_place
    with session.store() as store:
        counts, members = store.counts(), store.members()
    holder = session.daemon()
    if as_json:
        print_json({"store": str(place), "daemon": holder, "members": _members(members), **_json(counts)})
        return
    now = SystemClock().now()
    lines = [f"store     {place}", f"daemon    {holder or 'not running'}"]
    whole = sum(view.shares for view in members)
    lines += [
        f"            {view.member}: {view.shares} of {whole} shares, since {ago(view.joined_at, now)}"
        for view in members
    ]
    lines.append("watches   " + (", ".join(f"{number} {phase}" for phase, number in counts.watches.items()) or "none"))
    known = session.loaded.settings.accounts
    for account, number in counts.live_by_account.items():
        if account not in known:
            lines.append(f"            {number} of account {account}, which the settings do not hold: never polled")
    oldest = f", the oldest made {ago(counts.oldest_waiting_at, now)}" if counts.waiting else ""
    lines.append(f"waiting   {count(counts.waiting, 'delivery')}{oldest}")
    lines += [f"            {number} to {endpoint}" for endpoint, number in counts.waiting_by_endpoint.items()]
    if counts.dead:
        lines.append(f"dead      {count(counts.dead, 'delivery')}: `genbridge deliveries --state dead` lists them")
    for endpoint, reason in counts.disabled.items():
        lines.append(f"disabled  endpoint {endpoint}: {reason}; `genbridge enable {endpoint}` sends again")
    for account, reason in counts.blocked.items():
        lines.append(f"blocked   account {account}: {reason}")
    for line in lines:
        click.echo(printable(line))


def _members(members: Sequence[MemberView]) -> list[dict[str, Any]]:
    return [
        {
            "member": view.member,
            "shares": view.shares,
            "joined_at": rfc3339(view.joined_at),
            "lease_until": rfc3339(view.lease_until),
        }
        for view in members
    ]


def _json(counts: Counts) -> dict[str, Any]:
    return {
        "watches": {str(phase): number for phase, number in counts.watches.items()},
        "live": counts.live,
        "waiting": counts.waiting,
        "dead": counts.dead,
        "waiting_by_endpoint": dict(counts.waiting_by_endpoint),
        "dead_by_endpoint": dict(counts.dead_by_endpoint),
        "oldest_waiting_at": rfc3339(counts.oldest_waiting_at),
        "disabled_endpoints": dict(counts.disabled),
        "blocked_accounts": dict(counts.blocked),
    }
