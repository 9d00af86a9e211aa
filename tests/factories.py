"""Domain values for tests, with defaults. Keywords override any field."""

from __future__ import annotations

from typing import Any

from bridge.domain.delivery import Delivery
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Event, Topic
from bridge.domain.task import Phase, Reading, ReadingKind
from bridge.domain.views import DeliveryView, WatchView
from bridge.domain.watch import Memory, Watch, WatchState, Wish

NOW = 1_762_000_000.0  # 2025-11-01: as large as real instants, so that floats are rounded in the same way
END_TOPICS = frozenset(
    {Topic.TASK_SUCCEEDED, Topic.TASK_FAILED, Topic.TASK_CANCELED, Topic.TASK_NOT_FOUND, Topic.TASK_TIMED_OUT}
)


def make_wish(**fields: Any) -> Wish:
    return Wish(**{"account": "kling", "task_id": "task-1"} | fields)


def make_state(**fields: Any) -> WatchState:
    """The state of a watch that was just added and never polled."""
    defaults: dict[str, Any] = {
        "account": "kling",
        "task_id": "task-1",
        "generation": 1,
        "action": "videos/text2video",
        "give_up_after_s": None,
        "added_at": NOW,
        "blocked_before_s": 0.0,
        "next_poll_at": None,
        "memory": Memory(),
        "revision": 1,
    }
    return WatchState(**defaults | fields)


def make_watch(**fields: Any) -> Watch:
    """A live watch. Set fields of its state by `state=make_state(...)`."""
    defaults: dict[str, Any] = {
        "state": make_state(),
        "label": None,
        "meta": {},
        "endpoints": None,
        "source": "cli",
        "ended_at": None,
        "reason": None,
        "snapshot": None,
    }
    return Watch(**defaults | fields)


def make_view(**fields: Any) -> WatchView:
    """A line of `list`: a task that succeeded."""
    defaults: dict[str, Any] = {
        "account": "kling",
        "task_id": "task-1",
        "action": "videos/text2video",
        "label": None,
        "meta": {},
        "phase": Phase.SUCCEEDED,
        "added_at": NOW - 100,
        "ended_at": NOW - 10,
        "next_poll_at": None,
        "polls": 3,
        "progress": None,
        "urls": (),
        "reason": None,
        "watch_id": 1,
    }
    return WatchView(**defaults | fields)


def make_delivery_view(**fields: Any) -> DeliveryView:
    """A line of `deliveries`: an accepted delivery without its attempts."""
    defaults: dict[str, Any] = {
        "delivery_id": 1,
        "event_id": "evt_1",
        "endpoint": "hook",
        "target": "",
        "topic": "task_succeeded",
        "account": "kling",
        "task_id": "task-1",
        "state": DeliveryState.ACCEPTED,
        "attempts": 1,
        "next_attempt_at": None,
        "created_at": NOW,
        "last_outcome": None,
        "last_detail": None,
    }
    return DeliveryView(**defaults | fields)


def make_reading(kind: ReadingKind = ReadingKind.RUNNING, **fields: Any) -> Reading:
    return Reading(kind=kind, **fields)


def make_event(**fields: Any) -> Event:
    """An event about a success, with little `data`. `event_building.task_event` makes complete events."""
    defaults: dict[str, Any] = {
        "event_id": "evt_one",
        "topic": Topic.TASK_SUCCEEDED,
        "account": "kling",
        "subject": "task-1",
        "occurred_at": NOW,
        "data": {"task_id": "task-1", "task_status": "succeed", "event_id": "evt_one"},
        "endpoints": None,
    }
    return Event(**defaults | fields)


def make_delivery(**fields: Any) -> Delivery:
    """A delivery that has not been attempted yet."""
    defaults: dict[str, Any] = {
        "delivery_id": 1,
        "event_id": "evt_one",
        "endpoint": "automation",
        "target": "",
        "topic": Topic.TASK_SUCCEEDED,
        "account": "kling",
        "subject": "task-1",
        "attempts": 0,
        "body": b'{"topic":"task_succeeded","data":{}}',
    }
    return Delivery(**defaults | fields)
