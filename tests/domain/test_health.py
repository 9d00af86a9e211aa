"""When an endpoint that keeps failing is told."""

from __future__ import annotations

from bridge.domain.event import Topic
from bridge.domain.health import Health, explained, failed, is_notification_due, notified, succeeded
from tests.factories import NOW

FRESH = Health(endpoint="chat")


def failing(*at: float, health: Health = FRESH) -> Health:
    for second in at:
        health = failed(health, at=NOW + second, reason="HTTP 502")
    return health


def test_it_takes_five_failures_and_fifteen_minutes_without_a_success() -> None:
    five = failing(0, 5, 300, 301, 600)
    assert not is_notification_due(five, at=NOW + 899)
    assert is_notification_due(five, at=NOW + 900)
    assert not is_notification_due(failing(0, 5, 300, 301), at=NOW + 90_000)
    assert not is_notification_due(FRESH, at=NOW)


def test_a_success_in_between_begins_again() -> None:
    again = failing(850, 851, 852, 853, 854, health=succeeded(failing(0, 5, 300, 301, 600)))
    assert not is_notification_due(again, at=NOW + 1000)
    assert is_notification_due(again, at=NOW + 850 + 900)


def test_it_is_reported_again_each_day_while_attempts_go_on() -> None:
    once = notified(failing(0, 1, 2, 3, 4), at=NOW + 900)
    assert once.count == 1
    assert not is_notification_due(failing(86_000, health=once), at=NOW + 86_000)
    assert not is_notification_due(once, at=NOW + 900 + 86_400), "nothing was attempted since"
    assert is_notification_due(failing(87_300, health=once), at=NOW + 900 + 86_400)


def test_events_are_numbered_over_all_troubles() -> None:
    assert succeeded(notified(failing(0), at=NOW)).count == 1


def test_a_clock_that_went_back_does_not_delay_it() -> None:
    back = failing(0, -5000, -4999, -4998, -4997)
    assert is_notification_due(back, at=NOW - 5000 + 900)


def test_the_reason_says_for_how_long_how_often_and_why() -> None:
    five = failing(0, 5, 300, 301, 600)
    said = explained(five, Topic.ENDPOINT_FAILING, at=NOW + 900)
    assert said == "no success for 15 min, 5 failed attempts; the last one: HTTP 502"
    assert explained(five, Topic.ENDPOINT_RECOVERED, at=NOW + 7200) == "it failed for 2 h"
    assert explained(five, Topic.ENDPOINT_RECOVERED, at=NOW + 3 * 86_400) == "it failed for 3 days"
