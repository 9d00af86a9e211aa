"""What makes accounts and endpoints wait: times that providers and receivers asked for, and failing endpoints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.control.formats import ago, rfc3339
from bridge.domain.account_state import FAILING, HOST, AccountState, Hold
from bridge.domain.views import DeliveryView, QueueHold

if TYPE_CHECKING:
    from bridge.domain.health import Health

ACCOUNT = ""  # the route of a wait of the whole account

QueueHolds = Mapping[tuple[str, str], QueueHold]
"""The waits of queues, by endpoint and target."""


def holds_of(state: AccountState | None, now: float) -> Iterator[Hold]:
    """The waits of an account (`Retry-After`) that have not ended yet."""
    if state is None:
        return
    if state.wait_until_at is not None and state.wait_until_at > now:
        yield Hold(route=ACCOUNT, until_at=state.wait_until_at, reason="the provider asked for a wait (Retry-After)")
    yield from (hold for hold in state.holds if hold.until_at > now)


def holds_on(state: AccountState | None, action: str | None, now: float) -> list[Hold]:
    """The waits that apply to a task with this action. Without an action, the task may use any route."""
    return [hold for hold in holds_of(state, now) if action is None or hold.route in {ACCOUNT, HOST, FAILING, action}]


def opens_at(holds: Iterable[Hold]) -> float:
    """When the last of these waits ends; 0 if there are none."""
    return max((hold.until_at for hold in holds if hold.route != HOST and not hold.is_failing), default=0.0)


def hold_line(account: str, hold: Hold, now: float) -> str:
    """`account kling is paused on videos/text2video until 2026-01-02T03:04:05Z (in 59m 3s): HTTP 503`"""
    if hold.is_failing:
        return (
            f"account {account} sends one request at a time, at least every 30 s, until one is answered: {hold.reason}"
        )
    until = f"until {rfc3339(hold.until_at)} ({ago(hold.until_at, now)})"
    if hold.route == HOST:
        return f"account {account} sends one request every 30 s {until}: {hold.reason}"
    return f"account {account} is paused{f' on {hold.route}' if hold.route else ''} {until}: {hold.reason}"


def hold_json(account: str, hold: Hold) -> dict[str, Any]:
    """For JSON. `scope` is what waits: the `account`, one `route` of it, or the account because of its `host`, or
    because its provider is `failing`."""
    scope = {ACCOUNT: "account", HOST: "host", FAILING: "failing"}.get(hold.route, "route")
    route = hold.route if scope == "route" else None
    return {
        "account": account,
        "scope": scope,
        "route": route,
        "until": rfc3339(hold.until_at),
        "reason": hold.reason,
    }


def lasting_holds(found: Iterable[QueueHold], endpoints: Collection[str], now: float) -> QueueHolds:
    """The waits of these endpoints that have not ended yet."""
    return {(one.endpoint, one.target): one for one in found if one.until_at > now and one.endpoint in endpoints}


def hold_on(view: DeliveryView, holds: QueueHolds) -> QueueHold | None:
    """The wait that delays a delivery; None if nothing does."""
    found = holds.get((view.endpoint, view.target))
    is_held = found is not None and view.state == "waiting" and (view.next_attempt_at or 0.0) <= found.until_at
    return found if is_held else None


def why_held(hold: QueueHold) -> str:
    """`the endpoint asked to wait until 2026-01-02T03:04:05.000Z`, or another reason."""
    until = rfc3339(hold.until_at)
    return f"the endpoint asked to wait until {until}" if hold.reason else f"an earlier message is retried at {until}"


def held_endpoints_json(holds: QueueHolds) -> list[dict[str, Any]]:
    """For JSON. `reason` is null when an earlier message is retried first, to keep the order."""
    return [
        {
            "endpoint": one.endpoint,
            "target": one.target or None,
            "until": rfc3339(one.until_at),
            "reason": one.reason or None,
        }
        for one in holds.values()
    ]


def failing_json(found: Sequence[Health]) -> dict[str, Any]:
    """For JSON, by endpoint. `reported_at`: the last `endpoint_failing`; null before the first."""
    return {
        one.endpoint: {
            "since": rfc3339(one.failing_since),
            "failed_attempts": one.failures,
            "reason": one.reason,
            "reported_at": rfc3339(one.told_at),
        }
        for one in found
    }
