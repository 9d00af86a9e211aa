"""What the story of a task says about its deliveries and its history, and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bridge.control.delivery_waits import DeliveryWait, DeliveryWaits, WaitCause
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import ARCHIVE
from bridge.domain.pause import Pause, PauseOf
from bridge.domain.task import ReadingKind
from bridge.domain.views import AttemptView, DeliveryView, Fact, QueueWait, ReadingCount, WatchDetails
from bridge.http.page.task_story import MOST_EVENTS, MOST_HAPPENED, TaskStory
from tests.factories import NOW, make_delivery_view, make_view, make_watch

SOON = NOW + 30
VIEW = make_view(added_at=NOW - 200, ended_at=NOW - 8, polls=11)


def delivery(number: int = 1, **fields: Any) -> DeliveryView:
    given: dict[str, Any] = {
        "delivery_id": number,
        "event_id": f"evt_{number}",
        "state": DeliveryState.WAITING,
        "next_attempt_at": NOW + 12,
        "created_at": NOW - 8 + number,
        "last_outcome": "deferred",
        "last_detail": "HTTP 503",
        "made": (AttemptView(NOW - 5, "deferred", "HTTP 503", 0.2),),
    }
    return make_delivery_view(**given | fields)


def story(
    *deliveries: DeliveryView, history: Sequence[Fact] = (), readings: Sequence[ReadingCount] = (), **fields: Any
) -> TaskStory:
    details = WatchDetails(
        watch=make_watch(),
        sources=("cli",),
        history=tuple(history),
        readings=tuple(readings),
        deliveries=deliveries,
        next_poll_why="",
    )
    waits: dict[str, Any] = {"endpoints": {"hook", ARCHIVE}, "disabled": {}, "paused": {}, "queues": {}}
    waits |= {name: fields.pop(name) for name in waits.keys() & fields.keys()}
    given: dict[str, Any] = {
        "now": NOW,
        "details": details,
        "view": VIEW,
        "run": None,
        "usual": None,
        "account": None,
        "waits": DeliveryWaits(now=NOW, **waits),
        "is_account_known": True,
    }
    return TaskStory(**given | fields)


def pause(until_at: float | None) -> dict[str, Pause]:
    return {"hook": Pause(of=PauseOf.ENDPOINT, name="hook", since_at=NOW - 1, until_at=until_at)}


@pytest.mark.parametrize(
    ("fields", "state", "why", "detail", "until_at"),
    [
        ({}, "waiting", "", "", None),
        ({"endpoints": set()}, "off", "unknown", "", None),
        ({"disabled": {"hook": "HTTP 410"}}, "off", "disabled", "HTTP 410", None),
        ({"paused": pause(NOW + 60)}, "off", "paused", "", NOW + 60),
        ({"paused": pause(None)}, "off", "paused", "", None),
        (
            {"queues": {("hook", ""): QueueWait("hook", "", SOON, "HTTP 429")}},
            "waiting",
            "asked",
            "HTTP 429",
            NOW + 30,
        ),
        ({"queues": {("hook", ""): QueueWait("hook", "", SOON, "")}}, "waiting", "order", "", SOON),
        ({"queues": {("hook", "1"): QueueWait("hook", "1", SOON, "")}}, "waiting", "", "", None),
    ],
)
def test_a_delivery_says_what_it_waits_for(
    fields: dict[str, Any], state: str, why: str, detail: str, until_at: float | None
) -> None:
    [event] = story(delivery(), **fields).events
    [found] = event.deliveries
    assert found.state == state
    assert found.wait == (DeliveryWait(WaitCause(why), detail, until_at) if why else None)


def test_the_latest_event_comes_first_and_its_deliveries_stay_together() -> None:
    found = story(
        delivery(1, event_id="evt_a", topic="task_running", created_at=NOW - 90),
        delivery(2, event_id="evt_b", endpoint="hook", created_at=NOW - 8),
        delivery(3, event_id="evt_b", endpoint="other", created_at=NOW - 8),
    ).events
    assert [(one.event_id, len(one.deliveries)) for one in found] == [("evt_b", 2), ("evt_a", 1)]


def test_of_hundreds_of_events_the_finish_and_the_latest_are_shown() -> None:
    progress = [delivery(number, topic="task_progress", created_at=NOW + number) for number in range(2, 300)]
    found = story(delivery(1), *progress)
    assert len(found.events) == 299
    assert [one.event_id for one in found.shown_events[:3]] == ["evt_1", "evt_299", "evt_298"]
    assert len(found.shown_events) == MOST_EVENTS


def test_of_a_long_history_the_first_and_the_last_lines_are_shown() -> None:
    history = [Fact(NOW - 1000 + number, "poll asked", "by command") for number in range(500)]
    found = story(history=history).happened
    assert len(found) == MOST_HAPPENED + 1
    assert (found[0].at, found[-1].at) == (history[0].at, history[-1].at)
    assert [one.detail for one in found if one.what == "left out"] == [str(500 - MOST_HAPPENED)]


def test_answers_are_listed_in_the_last_line_before_the_finish() -> None:
    reading = ReadingCount(ReadingKind.RUNNING, 7, NOW - 190, NOW - 10, "")
    history = [
        Fact(NOW - 200, "added", "cli"),
        Fact(NOW - 160, "running", ""),
        Fact(NOW - 8, "succeeded", ""),
    ]
    found = story(history=history, readings=[reading]).happened
    assert [(one.what, len(one.answers)) for one in found] == [("added", 0), ("running", 1), ("succeeded", 0)]


@pytest.mark.parametrize(
    ("endpoint", "state", "outcome", "what"),
    [
        ("hook", DeliveryState.ACCEPTED, "accepted", "accepted"),
        ("hook", DeliveryState.DEAD, "deferred", "dead"),
        ("hook", DeliveryState.WAITING, "deferred", "deferred"),
        ("hook", DeliveryState.WAITING, "accepted", None),  # somebody sends it again
        ("hook", DeliveryState.CANCELED, "deferred", None),
        (ARCHIVE, DeliveryState.ACCEPTED, "accepted", "copied"),
        (ARCHIVE, DeliveryState.DEAD, "undeliverable", "not copied"),
    ],
)
def test_the_outcome_of_a_delivery_is_in_the_history(
    endpoint: str, state: DeliveryState, outcome: str, what: str | None
) -> None:
    made = (AttemptView(NOW - 5, outcome, "x", 0.2),)
    found = story(delivery(endpoint=endpoint, state=state, made=made)).happened
    assert [one.what for one in found] == ([what] if what else [])


def test_copies_are_listed_apart_from_notified_endpoints() -> None:
    found = story(delivery(1), delivery(2, endpoint=ARCHIVE))
    assert [one.event_id for one in found.events] == ["evt_1"]
    assert [one.view.delivery_id for one in found.copying] == [2]


def test_long_meta_is_cut() -> None:
    meta = {f"key-{number}": number for number in range(100)} | {"key-0": "x" * 10_000, "key-1": [1, None]}
    found = story(view=VIEW._replace(meta=meta)).meta
    assert len(found) == 40
    assert len(found[0][1]) == 401
    assert found[1] == ("key-1", "[1,null]")
