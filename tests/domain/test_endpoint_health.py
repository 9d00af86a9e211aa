"""The health of endpoints after some outcomes, and the events that follow."""

from __future__ import annotations

from bridge.domain.delivery import AttemptMade
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.endpoint_health import EndpointHealth
from bridge.domain.event import Event, Topic
from bridge.domain.health import FAILING_AFTER_S, FAILING_ATTEMPTS, Health
from tests.factories import NOW


def attempt(outcome: str, *, at: float = NOW) -> AttemptMade:
    return AttemptMade(
        delivery_id=1,
        event_id="evt_1",
        endpoint="hook",
        state=DeliveryState.ACCEPTED if outcome == "accepted" else DeliveryState.WAITING,
        attempts=1,
        outcome=outcome,
        detail="",
        at=at,
        duration_s=0.1,
        next_attempt_at=None,
        disables=outcome == "refused",
    )


def followed(known: list[Health], *outcomes: AttemptMade) -> tuple[list[Health], list[Event]]:
    """What has changed, and which events there were."""
    events: list[Event] = []
    health = EndpointHealth(known, publish=events.append)
    for one in outcomes:
        health.follow(one, reason="503")
    return health.changed, events


def test_an_endpoint_that_never_failed_has_no_health_to_store() -> None:
    assert followed([], attempt("accepted")) == ([], [])
    assert followed([], attempt("refused")) == ([], [])


def test_an_endpoint_that_keeps_failing_is_reported_once_and_then_its_recovery() -> None:
    failures = [attempt("deferred", at=NOW + count * FAILING_AFTER_S) for count in range(FAILING_ATTEMPTS)]
    [failing], [event] = followed([], *failures)
    assert (failing.failing_since, failing.failures, failing.count) == (NOW, FAILING_ATTEMPTS, 1)
    assert event.topic is Topic.ENDPOINT_FAILING
    [well], [event] = followed([failing], attempt("accepted", at=NOW + 9_000))
    assert well == Health(endpoint="hook", count=1)
    assert event.topic is Topic.ENDPOINT_RECOVERED


def test_a_success_of_an_endpoint_that_is_well_changes_nothing() -> None:
    assert followed([Health(endpoint="hook", count=3)], attempt("accepted")) == ([], [])


def test_a_failing_endpoint_can_be_recognized() -> None:
    events: list[Event] = []
    health = EndpointHealth([Health(endpoint="hook", failing_since=NOW, failures=9)], publish=events.append)
    assert not health.check("other", at=NOW)
    assert health.check("hook", at=NOW + FAILING_AFTER_S)
    assert len(events) == 1
