"""Functions for tests of stores: changes as sources and the engine make them, and reads of their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bridge.domain.change import AccountChange, Note, TaskChange
from bridge.domain.delivery import AttemptMade, Delivery
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind, Snapshot
from bridge.domain.watch import Memory, Watch, WatchState
from bridge.ports import Added, Outbox, Watches
from bridge.store.read_store import ReadStore
from tests.factories import NOW, make_wish

KEY = WatchKey("kling", "task-1")
VIDEO = Snapshot(
    status="succeed",
    message="完成",
    progress=100.0,
    created_ms=1_722_769_557_708,
    result={"videos": [{"id": "v1", "url": "https://cdn.example.com/v1.mp4", "duration": "5.1"}]},
    urls=("https://cdn.example.com/v1.mp4",),
    refused=("ftp://cdn.example.com/v1.mp4: scheme",),
)

QUEUE = ("automation", "")


def make_note(key: WatchKey = KEY, **fields: Any) -> Note:
    """The first poll of a watch, which found it running."""
    defaults: dict[str, Any] = {
        "key": key,
        "generation": 1,
        "memory": Memory(phase=Phase.RUNNING, polls=1),
        "kind": ReadingKind.RUNNING,
        "detail": "processing",
        "at": NOW + 1,
        "next_poll_at": NOW + 3,
        "next_poll_why": "a tenth of its age",
    }
    return Note(**defaults | fields)


def make_end(key: WatchKey = KEY, *, phase: Phase = Phase.SUCCEEDED, at: float = NOW + 60, **fields: Any) -> TaskChange:
    """The end of a watch, with an event about it."""
    defaults: dict[str, Any] = {
        "note": make_note(
            key, memory=Memory(phase=phase, polls=9), kind=ReadingKind.SUCCEEDED, detail="", at=at, next_poll_at=None
        ),
        "ends": True,
        "topic": Topic(f"task_{phase}"),
        "topic_part": "",
        "reason": None,
        "snapshot": VIDEO,
        "provider": "kling",
        "at": at,
    }
    return TaskChange(**defaults | fields)


def make_progress(percent: float, key: WatchKey = KEY, *, at: float = NOW + 30) -> TaskChange:
    """A change to a running task with this progress."""
    note = make_note(key, memory=Memory(phase=Phase.RUNNING, polls=2, progress=percent), at=at)
    snapshot = Snapshot(status="processing", progress=percent)
    part = f"{percent:g}"
    return make_end(key, note=note, ends=False, topic=Topic.TASK_PROGRESS, topic_part=part, snapshot=snapshot, at=at)


def make_block(*, blocked: bool = True, count: int = 1, blocked_s: float = 0.0, at: float = NOW) -> AccountChange:
    return AccountChange(
        account="kling", blocked=blocked, reason="401: key revoked", count=count, blocked_s=blocked_s, at=at
    )


def make_attempt(delivery: Delivery, **fields: Any) -> AttemptMade:
    """An attempt that the receiver accepted."""
    defaults: dict[str, Any] = {
        "delivery_id": delivery.delivery_id,
        "event_id": delivery.event_id,
        "endpoint": delivery.endpoint,
        "state": DeliveryState.ACCEPTED,
        "attempts": delivery.attempts + 1,
        "outcome": "accepted",
        "detail": "200",
        "at": NOW + 61,
        "duration_s": 0.1,
        "next_attempt_at": None,
        "disables": False,
    }
    return AttemptMade(**defaults | fields)


def make_deferred(delivery: Delivery, *, next_attempt_at: float, **fields: Any) -> AttemptMade:
    deferred = make_attempt(delivery, state=DeliveryState.WAITING, outcome="deferred", detail="503")
    return replace(deferred, next_attempt_at=next_attempt_at, **fields)


class Teller:
    """A `ParcelsFor` with fixed queues that records the events."""

    def __init__(self, *queues: tuple[str, str]) -> None:
        self.queues = queues or (("automation", ""),)
        self.events: list[Event] = []

    def __call__(self, event: Event) -> Sequence[Parcel]:
        self.events.append(event)
        body = f"{event.topic} {event.event_id}".encode()
        address = f"/of/{event.event_id}"
        return [
            Parcel(endpoint=endpoint, target=target, body=body, address=address) for endpoint, target in self.queues
        ]

    @property
    def topics(self) -> list[str]:
        return [str(event.topic) for event in self.events]


def nobody(event: Event) -> Sequence[Parcel]:
    """A `ParcelsFor` for settings without an endpoint for the event."""
    return []


def whole(store: ReadStore, key: WatchKey = KEY) -> Watch:
    [watch] = store.find(key.task_id, key.account)
    return watch


def state_of(store: ReadStore, key: WatchKey = KEY) -> WatchState:
    return whole(store, key).state


def add(store: Watches, *task_ids: str, source: str = "cli", now: float = NOW, again: bool = False) -> list[Added]:
    return store.add([make_wish(task_id=task_id) for task_id in task_ids], source=source, now=now, again=again)


def whats(added: Sequence[Added]) -> list[str]:
    return [one.what for one in added]


def due(store: Outbox, *, now: float = NOW + 1e6, queue: tuple[str, str] = QUEUE, limit: int = 100) -> list[Delivery]:
    return store.due(*queue, now=now, limit=limit)[0]


def facts(store: ReadStore, key: WatchKey = KEY) -> list[tuple[str, str]]:
    return [(fact.what, fact.detail) for fact in store.details(key).history]
