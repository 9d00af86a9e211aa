"""When people are notified about an endpoint that keeps failing."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.delivery import AttemptMade
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.endpoint_health import FAILING_AFTER_S, FAILING_ATTEMPTS, EndpointHealth, Health
from bridge.domain.event import Event, Topic
from tests.factories import NOW

FRESH = Health(endpoint="hook")


def attempt(outcome: str, *, at: float = 0, ahead_s: float = 0) -> AttemptMade:
    return AttemptMade(
        delivery_id=1,
        event_id="evt_1",
        endpoint="hook",
        state=DeliveryState.ACCEPTED if outcome == "accepted" else DeliveryState.WAITING,
        attempts=1,
        outcome=outcome,
        detail="",
        at=NOW + at,
        duration_s=0.1,
        next_attempt_at=None,
        disables=outcome == "refused",
        ahead_s=ahead_s,
    )


def followed(
    known: Sequence[Health], *outcomes: AttemptMade, reason: str = "HTTP 502"
) -> tuple[list[Health], list[Event]]:
    """Follow these outcomes. Returns what has changed, and the events."""
    events: list[Event] = []
    health = EndpointHealth(known)
    for one in outcomes:
        health.follow(one, reason=reason, publish=events.append)
    return health.changed, events


def failing(*at: float, health: Health = FRESH) -> Health:
    [failed], _ = followed([health], *(attempt("deferred", at=second) for second in at))
    return failed


def reported(health: Health, *, at: float) -> list[Event]:
    """Check the endpoint at this time, and return the events."""
    events: list[Event] = []
    EndpointHealth([health]).check("hook", at=NOW + at, publish=events.append)
    return events


def test_an_endpoint_fails_after_five_failures_and_fifteen_minutes() -> None:
    five = failing(0, 5, 300, 301, 600)
    assert not reported(five, at=899)
    assert reported(five, at=900)
    assert not reported(failing(0, 5, 300, 301), at=90_000)
    assert not FRESH.is_notification_due(NOW)


def test_reports_have_the_time_of_a_corrected_clock() -> None:
    late, hours_s = failing(0, 1, 2, 3), 7200.0
    [known], [failed] = followed([late], attempt("deferred", at=900, ahead_s=hours_s))
    _, [recovered] = followed([known], attempt("accepted", at=960, ahead_s=hours_s))
    assert (failed.topic, failed.occurred_at) == (Topic.ENDPOINT_FAILING, NOW + 900 + hours_s)
    assert failed.data["reason"].startswith("no success for 15 min")
    assert (recovered.topic, recovered.occurred_at) == (Topic.ENDPOINT_RECOVERED, NOW + 960 + hours_s)


def test_a_success_in_between_starts_the_count_again() -> None:
    [well], _ = followed([failing(0, 5, 300, 301, 600)], attempt("accepted", at=700))
    again = failing(850, 851, 852, 853, 854, health=well)
    assert not reported(again, at=1000)
    assert reported(again, at=850 + 900)


def test_a_failing_endpoint_is_reported_again_each_day() -> None:
    once = failing(0, 1, 2, 3, 900)
    assert (once.count, once.told_at) == (1, NOW + 900)
    assert failing(86_000, health=once).count == 1
    assert not reported(once, at=900 + 86_400), "nothing was attempted since"
    assert failing(87_300, health=once).count == 2


def test_a_clock_that_went_back_does_not_delay_it() -> None:
    assert reported(failing(0, -5000, -4999, -4998, -4997), at=-5000 + 900)


def test_the_reason_says_for_how_long_how_often_and_why() -> None:
    [event] = reported(failing(0, 5, 300, 301, 600), at=900)
    assert event.data["reason"] == "no success for 15 min, 5 failed attempts; the last one: HTTP 502"
    [_], [event] = followed([], *(attempt("deferred", at=at) for at in (0, 1, 2, 3, 900)), reason="")
    assert event.data["reason"] == "no success for 15 min, 5 failed attempts"
    for seconds, said in ((7200, "it failed for 2 h"), (3 * 86_400, "it failed for 3 days")):
        [_], [event] = followed([failing(0, 5, 300, 301, 900)], attempt("accepted", at=seconds))
        assert (event.topic, event.data["reason"]) == (Topic.ENDPOINT_RECOVERED, said)


def test_an_endpoint_that_never_failed_has_no_health_to_store() -> None:
    assert followed([], attempt("accepted")) == ([], [])
    assert followed([], attempt("refused")) == ([], [])


def test_an_endpoint_that_keeps_failing_is_reported_once_and_then_its_recovery() -> None:
    failures = [attempt("deferred", at=count * FAILING_AFTER_S) for count in range(FAILING_ATTEMPTS)]
    [failed], [event] = followed([], *failures)
    assert (failed.failing_since, failed.failures, failed.count) == (NOW, FAILING_ATTEMPTS, 1)
    assert event.topic is Topic.ENDPOINT_FAILING
    [well], [event] = followed([failed], attempt("accepted", at=9_000))
    assert well == Health(endpoint="hook", count=1)
    assert event.topic is Topic.ENDPOINT_RECOVERED


def test_a_success_of_an_endpoint_that_is_well_changes_nothing() -> None:
    assert followed([Health(endpoint="hook", count=3)], attempt("accepted")) == ([], [])


def test_a_failing_endpoint_can_be_recognized() -> None:
    events: list[Event] = []
    health = EndpointHealth([Health(endpoint="hook", failing_since=NOW, failures=9)])
    assert not health.check("other", at=NOW, publish=events.append)
    assert health.check("hook", at=NOW + FAILING_AFTER_S, publish=events.append)
    assert len(events) == 1
