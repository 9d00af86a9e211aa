"""The sample event that `genbridge test` sends. It is built the way real events are."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.domain.change import Note, TaskChange
from bridge.domain.event import Event, Topic
from bridge.domain.event_building import task_event
from bridge.domain.ids import WatchKey
from bridge.domain.task import Json, Kind, Phase, Snapshot
from bridge.domain.watch import Memory, Watch, WatchState

URL = "https://example.com/genbridge-sample.mp4"
KEY = WatchKey("sample", "genbridge-sample")
META: Mapping[str, Json] = {"sample": True}


def is_sample(event: Event) -> bool:
    """Whether the event is the sample."""
    return (event.account, event.subject, event.data.get("meta")) == (*KEY, META)


def sample_event(at: float) -> Event:
    """A `task_succeeded` about a task that does not exist, finished at `at`."""
    key = KEY
    memory = Memory(phase=Phase.SUCCEEDED, polls=3)
    state = WatchState(
        account=key.account,
        task_id=key.task_id,
        generation=1,
        action="videos/text2video",
        give_up_after_s=None,
        added_at=at - 60.0,
        blocked_before_s=0.0,
        next_poll_at=None,
        memory=memory,
        revision=0,
    )
    watch = Watch(
        state=state,
        label="genbridge sample",
        meta=META,
        endpoints=None,
        source="test",
        ended_at=at,
        reason=None,
        snapshot=None,
    )
    snapshot = Snapshot(status="succeed", result={"videos": [{"id": "1", "url": URL, "duration": "5.1"}]}, urls=(URL,))
    note = Note(
        key=key, generation=1, memory=memory, kind=Kind.SUCCEEDED, detail="", at=at, next_poll_at=None, next_poll_why=""
    )
    change = TaskChange(
        note=note,
        ends=True,
        topic=Topic.TASK_SUCCEEDED,
        topic_part="",
        reason=None,
        snapshot=snapshot,
        provider="kling",
        at=at,
    )
    event = task_event(watch, change)
    assert event is not None  # it has a topic
    return event
