"""The health of endpoints after one transaction, and the events that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge.domain.delivery import AttemptMade
from bridge.domain.event import Event, Topic
from bridge.domain.event_building import endpoint_event
from bridge.domain.health import Health, explained, failed, is_notification_due, notified, succeeded


class EndpointHealth:
    """Starts with the `known` health of the endpoints concerned. Call `follow` for each outcome, then store
    `changed`."""

    def __init__(self, known: Iterable[Health], *, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._known = {one.endpoint: one for one in known}
        self._changed: set[str] = set()

    @property
    def changed(self) -> list[Health]:
        """The changed values, sorted by endpoint."""
        return [self._known[endpoint] for endpoint in sorted(self._changed)]

    def follow(self, made: AttemptMade, *, reason: str) -> None:
        """Count an attempt. A refusal is skipped: it disables the endpoint, which has its own event."""
        known = self._known.get(made.endpoint)
        if known is None and made.outcome == "accepted":
            return  # it has never failed
        before = known or Health(endpoint=made.endpoint)
        if made.outcome == "accepted":
            if before.told_at is not None:
                self._announce(before, Topic.ENDPOINT_RECOVERED, at=made.at)
            self._keep(before, succeeded(before))
        elif made.outcome == "deferred":
            self._keep(before, failed(before, at=made.at, reason=reason))
            self.check(made.endpoint, at=made.at)

    def check(self, endpoint: str, *, at: float) -> bool:
        """Create `endpoint_failing` if it is due. Returns whether the endpoint is failing."""
        found = self._known.get(endpoint)
        if found is None or found.failing_since is None:
            return False
        if is_notification_due(found, at=at):
            after = notified(found, at=at)
            self._keep(found, after)
            self._announce(after, Topic.ENDPOINT_FAILING, at=at)
        return True

    def _keep(self, before: Health, after: Health) -> None:
        if before != after:
            self._known[after.endpoint] = after
            self._changed.add(after.endpoint)

    def _announce(self, known: Health, topic: Topic, *, at: float) -> None:
        reason = explained(known, topic, at=at)
        self._publish(endpoint_event(known.endpoint, count=known.count, reason=reason, at=at, topic=topic))
