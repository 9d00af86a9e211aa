"""When to notify people about an endpoint that keeps failing, and about its recovery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bridge.domain.event import Event, Topic

if TYPE_CHECKING:
    from bridge.domain.delivery import AttemptMade

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

    def is_notification_due(self, at: float) -> bool:
        """Whether `endpoint_failing` is due: once after `FAILING_AFTER_S`, then daily while attempts fail."""
        if self.failing_since is None or self.failures < FAILING_ATTEMPTS:
            return False
        if self.told_at is None:
            return at - self.failing_since >= FAILING_AFTER_S
        return at - self.told_at >= AGAIN_AFTER_S and self.failures > self.told_failures

    def lasted(self, at: float) -> str:
        """How long it has failed, in words."""
        minutes = round(max(at - (at if self.failing_since is None else self.failing_since), 0.0) / 60)
        if minutes < 120:
            return f"{minutes} min"
        return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


class EndpointHealth:
    """The health of endpoints after one transaction. Starts with the `known` health of the endpoints concerned. Call
    `follow` for each outcome, then store `changed`. `publish` is called with the events, and not kept: it would refer
    back to the transaction, and only the garbage collector would free that."""

    def __init__(self, known: Iterable[Health]) -> None:
        self._known = {one.endpoint: one for one in known}
        self._changed: set[str] = set()

    @property
    def changed(self) -> list[Health]:
        """The changed values, sorted by endpoint."""
        return [self._known[endpoint] for endpoint in sorted(self._changed)]

    def follow(self, made: AttemptMade, *, reason: str, publish: Callable[[Event], None]) -> None:
        """Count an attempt. A refusal is skipped: it disables the endpoint, which has its own event."""
        known = self._known.get(made.endpoint, _WELL)
        if made.outcome == "accepted" and known.failures:
            if known.told_at is not None:
                lasted = f"it failed for {known.lasted(made.at)}"
                publish(_event(known, Topic.ENDPOINT_RECOVERED, lasted, made.wall_at))
            self._keep(Health(endpoint=made.endpoint, count=known.count))
        elif made.outcome == "deferred":
            since = made.at if known.failing_since is None else min(known.failing_since, made.at)
            failures = known.failures + 1
            self._keep(replace(known, endpoint=made.endpoint, failing_since=since, failures=failures, reason=reason))
            self.check(made.endpoint, at=made.at, ahead_s=made.ahead_s, publish=publish)

    def check(self, endpoint: str, *, at: float, publish: Callable[[Event], None], ahead_s: float = 0.0) -> bool:
        """Create `endpoint_failing` if it is due. Returns whether the endpoint is failing."""
        known = self._known.get(endpoint)
        if known is None or known.failing_since is None:
            return False
        if known.is_notification_due(at):
            known = replace(known, told_at=at, told_failures=known.failures, count=known.count + 1)
            self._keep(known)
            said = f"no success for {known.lasted(at)}, {known.failures} failed attempts"
            reason = f"{said}; the last one: {known.reason}" if known.reason else said
            publish(_event(known, Topic.ENDPOINT_FAILING, reason, at + ahead_s))
        return True

    def _keep(self, health: Health) -> None:
        self._known[health.endpoint] = health
        self._changed.add(health.endpoint)


_WELL: Final = Health(endpoint="")  # of an endpoint that has never failed


def _event(known: Health, topic: Topic, reason: str, at: float) -> Event:
    from bridge.domain.event_building import endpoint_event  # imported here, because quick commands build no events

    return endpoint_event(known.endpoint, count=known.count, reason=reason, at=at, topic=topic)
