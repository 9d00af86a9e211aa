"""When to notify people about an endpoint that keeps failing, and about its recovery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bridge.domain.event import Topic

FAILING_AFTER_S: Final = 900.0  # time without a success since the first failed attempt
FAILING_ATTEMPTS: Final = 5
AGAIN_AFTER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The failed attempts at one endpoint since its last success. The store keeps it."""

    endpoint: str
    failing_since: float | None = None  # the first failed attempt after the last success
    failures: int = 0
    reason: str = ""  # reason of the last failed attempt
    told_at: float | None = None  # the last `endpoint_failing` since the last success
    told_failures: int = 0  # the number of failures at that time
    count: int = 0  # number of `endpoint_failing` events so far


def failed(health: Health, *, at: float, reason: str) -> Health:
    since = at if health.failing_since is None else min(health.failing_since, at)
    return replace(health, failing_since=since, failures=health.failures + 1, reason=reason)


def succeeded(health: Health) -> Health:
    return Health(endpoint=health.endpoint, count=health.count)


def is_notification_due(health: Health, *, at: float) -> bool:
    """Whether `endpoint_failing` is due: once after `FAILING_AFTER_S`, then daily while attempts fail."""
    if health.failing_since is None or health.failures < FAILING_ATTEMPTS:
        return False
    if health.told_at is None:
        return at - health.failing_since >= FAILING_AFTER_S
    return at - health.told_at >= AGAIN_AFTER_S and health.failures > health.told_failures


def notified(health: Health, *, at: float) -> Health:
    return replace(health, told_at=at, told_failures=health.failures, count=health.count + 1)


def explained(health: Health, topic: Topic, *, at: float) -> str:
    """The text of `reason` in the event."""
    lasted = _span(max(at - (health.failing_since if health.failing_since is not None else at), 0.0))
    if topic is Topic.ENDPOINT_RECOVERED:
        return f"it failed for {lasted}"
    said = f"no success for {lasted}, {health.failures} failed attempts"
    return f"{said}; the last one: {health.reason}" if health.reason else said


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
