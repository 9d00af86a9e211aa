"""What makes accounts wait: times that providers asked for (`Retry-After`), and providers that fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from bridge.control.formats import ago, rfc3339
from bridge.domain.account_state import ASKED_TO_WAIT, FAILING, AccountState, RouteWait

ACCOUNT: Final = ""  # the route of a wait of the whole account


def waits_of(state: AccountState | None, now: float) -> Iterator[RouteWait]:
    """The waits of an account (`Retry-After`) that have not ended yet."""
    if state is None:
        return
    if state.wait_until_at is not None and state.wait_until_at > now:
        yield RouteWait(route=ACCOUNT, until_at=state.wait_until_at, reason=ASKED_TO_WAIT)
    yield from (wait for wait in state.route_waits if wait.until_at > now)


def waits_on(state: AccountState | None, action: str | None, now: float) -> list[RouteWait]:
    """The waits that apply to a task with this action. Without an action, the task may use any route."""
    return [wait for wait in waits_of(state, now) if action is None or wait.route in {ACCOUNT, FAILING, action}]


def opens_at(waits: Iterable[RouteWait]) -> float:
    """When the last of these waits ends; 0 if there are none."""
    return max((wait.until_at for wait in waits if not wait.is_failing), default=0.0)


def wait_line(account: str, wait: RouteWait, now: float) -> str:
    """`account kling waits on videos/text2video until 2026-01-02T03:04:05Z (in 59m 3s): HTTP 503`"""
    if wait.is_failing:
        return (
            f"account {account} sends one request at a time, at least every 30 s, until one is answered: {wait.reason}"
        )
    until = f"until {rfc3339(wait.until_at)} ({ago(wait.until_at, now)})"
    return f"account {account} waits{f' on {wait.route}' if wait.route else ''} {until}: {wait.reason}"


def wait_json(account: str, wait: RouteWait) -> dict[str, Any]:
    """For JSON. `scope`: the `account` waits, one `route` of it, or the account of a `failing` provider."""
    scope = {ACCOUNT: "account", FAILING: "failing"}.get(wait.route, "route")
    route = wait.route if scope == "route" else None
    return {
        "account": account,
        "scope": scope,
        "route": route,
        "until": rfc3339(wait.until_at),
        "reason": wait.reason,
    }
