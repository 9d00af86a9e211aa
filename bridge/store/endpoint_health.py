"""The health of endpoints after the outcomes of one transaction, and the events that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.domain.change import Change, EndpointChecked
from bridge.domain.delivery import AttemptMade
from bridge.domain.event import Event, Topic
from bridge.domain.event_building import endpoint_event
from bridge.domain.health import Health, explained, failed, is_notification_due, notified, succeeded
from bridge.store.commit_statements import OF_ENDPOINTS, SET_HEALTH
from bridge.store.records import HEALTH
from bridge.store.rows import plain
from bridge.store.statements import Session


class EndpointHealth:
    """Reads and locks the health of the endpoints. `follow` each outcome, then `write`.

    The lock makes several daemons on one store send each event once.
    """

    def __init__(self, session: Session, changes: Sequence[Change], *, publish: Callable[[Event], None]) -> None:
        self._session = session
        self._publish = publish
        concerned = sorted({one.endpoint for one in changes if isinstance(one, AttemptMade | EndpointChecked)})
        found = HEALTH.find(session, OF_ENDPOINTS, endpoints=concerned) if concerned else []
        self._known = {one.endpoint: one for one in found}
        self._changed: set[str] = set()

    def follow(self, made: AttemptMade) -> None:
        """Count an attempt. A refusal disables the endpoint, and that has another event."""
        known = self._known.get(made.endpoint)
        if known is None and made.outcome == "accepted":
            return  # it has never failed
        before = known or Health(endpoint=made.endpoint)
        if made.outcome == "accepted":
            if before.told_at is not None:
                self._announce(before, Topic.ENDPOINT_RECOVERED, at=made.at)
            self._keep(before, succeeded(before))
        elif made.outcome == "deferred":
            self._keep(before, failed(before, at=made.at, reason=plain(made.detail)))
            self.check(made.endpoint, at=made.at)

    def check(self, endpoint: str, *, at: float) -> bool:
        """Notify that it is failing, if that is due. Returns whether it is failing."""
        found = self._known.get(endpoint)
        if found is None or found.failing_since is None:
            return False
        if is_notification_due(found, at=at):
            after = notified(found, at=at)
            self._keep(found, after)
            self._announce(after, Topic.ENDPOINT_FAILING, at=at)
        return True

    def write(self) -> None:
        """Write what has changed."""
        changed = [self._known[endpoint] for endpoint in sorted(self._changed)]
        self._session.run(SET_HEALTH, list(map(HEALTH.row, changed)))

    def _keep(self, before: Health, after: Health) -> None:
        if before != after:
            self._known[after.endpoint] = after
            self._changed.add(after.endpoint)

    def _announce(self, known: Health, topic: Topic, *, at: float) -> None:
        reason = explained(known, topic, at=at)
        self._publish(endpoint_event(known.endpoint, count=known.count, reason=reason, at=at, topic=topic))
