"""One event of each topic, built by the real code. `docs/payloads.md` shows these events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bridge.domain.change import AccountChange, AnswerUnread, Note, TaskChange
from bridge.domain.delivery import Delivery
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.event_building import account_event, archived_event, endpoint_event, task_event, unread_event
from bridge.domain.task import Json, ReadingKind, Snapshot
from bridge.domain.watch import Memory, Watch, WatchState

ADDED_AT = 1_762_000_000.0
ENDED_AT = 1_762_000_125.5
TASK_ID = "CjgHs2a8AAAAAAAAEx0sKQ"
URL = "https://cdn.example.com/works/d7f0.mp4?sign=a%2Fb_c&e=1764592000"

SUCCEEDED = Snapshot(
    status="succeed",
    created_ms=1_762_000_000_412,
    updated_ms=1_762_000_124_030,
    result={"videos": [{"id": "d7f0", "url": URL, "duration": "5.1"}]},
    urls=(URL,),
)
FAILED = Snapshot(
    status="failed",
    message="The prompt was refused by content moderation",
    created_ms=1_762_000_000_412,
    updated_ms=1_762_000_031_118,
)
RUNNING = Snapshot(status="processing", created_ms=1_762_000_000_412, updated_ms=1_762_000_004_820)
HALF = Snapshot(status="processing", progress=45.0, created_ms=1_762_000_000_412, updated_ms=1_762_000_061_007)

COPY = {
    "kind": "videos",
    "n": 1,
    "path": "2025/11/01/kling/trailer__take_3-1.mp4",
    "url": "https://bridge.example.com/results/2025/11/01/kling/trailer__take_3-1.mp4?expires=1762604928&signature=mVQ2",
    "bytes": 4194304,
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "media_type": "video/mp4",
}


IMAGE_URLS = tuple(f"https://cdn.mj.example/posters/{name}.png" for name in "abcd")
IMAGES = Snapshot(
    status="SUCCESS",
    created_ms=1_762_000_000_000,
    updated_ms=1_762_000_052_000,
    result={"images": [{"url": url} for url in IMAGE_URLS]},
    urls=IMAGE_URLS,
)
SONG_URLS = ("https://cdn.suno.example/c41d.mp3", "https://cdn.suno.example/9e02.mp3")
SONGS = Snapshot(
    status="SUCCESS",
    created_ms=1_762_000_000_000,
    updated_ms=1_762_000_118_000,
    result={
        "audios": [
            {"id": "c41d", "url": SONG_URLS[0], "duration": 153.6, "cover_url": "https://cdn.suno.example/c41d.jpg"},
            {"id": "9e02", "url": SONG_URLS[1], "duration": 161},
        ],
        "videos": [{"id": "c41d", "url": "https://cdn.suno.example/c41d.mp4"}],
    },
    urls=(SONG_URLS[0], "https://cdn.suno.example/c41d.mp4", SONG_URLS[1]),
)


def task_sample(
    topic: Topic = Topic.TASK_SUCCEEDED,
    snapshot: Snapshot | None = SUCCEEDED,
    *,
    reason: str | None = None,
    ends: bool = True,
    part: str = "",
    label: str | None = "trailer, take 3",
    meta: Mapping[str, Json] | None = None,
    task_id: str = TASK_ID,
) -> Event:
    state = WatchState(
        account="kling",
        task_id=task_id,
        generation=1,
        action="videos/text2video",
        give_up_after_s=None,
        added_at=ADDED_AT,
        blocked_before_s=0.0,
        next_poll_at=None,
        memory=Memory(),
        revision=1,
    )
    watch = Watch(
        state=state,
        label=label,
        meta={"order": 4711} if meta is None else meta,
        endpoints=None,
        source="cli",
        ended_at=None,
        reason=None,
        snapshot=None,
    )
    note = Note(
        key=state.key,
        generation=1,
        memory=Memory(),
        kind=ReadingKind.RUNNING,
        detail="",
        at=ENDED_AT,
        next_poll_at=None,
        next_poll_why="",
    )
    change = TaskChange(
        note=note,
        ends=ends,
        topic=topic,
        topic_part=part,
        reason=reason,
        snapshot=snapshot,
        provider="kling",
        at=ENDED_AT,
    )
    event = task_event(watch, change)
    assert event is not None
    return event


def from_account(event: Event, account: str, action: str) -> Event:
    """The same event about a task of another account."""
    return replace(event, account=account, data={**event.data, "account": account, "action": action})


SONG = from_account(task_sample(snapshot=SONGS, label="Rainy city, lo-fi"), "suno", "MUSIC")
POSTERS = from_account(task_sample(snapshot=IMAGES, label="Night train, four posters"), "mj", "imagine")


def every_sample() -> list[Event]:
    blocked = AccountChange(
        account="kling",
        blocked=True,
        reason="HTTP 401, code 1002: access key not found",
        count=1,
        blocked_s=0.0,
        at=ENDED_AT,
        tasks=14,
    )
    restored = AccountChange(
        account="kling", blocked=False, reason="", count=1, blocked_s=600.0, at=ENDED_AT + 600, lasted_s=600.0, tasks=14
    )
    unread = AnswerUnread(
        account="kling",
        word="moderating",
        reason='unknown status "moderating" (task CjgHs2a8AAAAAAAAEx0sKQ); polling continues',
        answers=1,
        at=ENDED_AT,
    )
    return [
        task_sample(),
        task_sample(Topic.TASK_FAILED, FAILED, reason="The prompt was refused by content moderation"),
        task_sample(Topic.TASK_CANCELED, Snapshot(status="canceled"), reason="canceled at the provider"),
        task_sample(Topic.TASK_NOT_FOUND, None, reason="HTTP 404, code 1203: task not found"),
        task_sample(
            Topic.TASK_TIMED_OUT,
            RUNNING,
            reason="not finished after 86400 s (give_up_after); the last answer: processing",
        ),
        archived_event(task_sample().data, [COPY], of=task_sample().event_id, at=ENDED_AT + 3),
        task_sample(Topic.TASK_RUNNING, RUNNING, ends=False),
        task_sample(Topic.TASK_PROGRESS, HALF, ends=False, part="45"),
        account_event(blocked),
        account_event(restored),
        endpoint_event("automation", count=1, reason="HTTP 410 Gone", at=ENDED_AT),
        endpoint_event(
            "chat",
            count=1,
            reason="no success for 35 min, 8 failed attempts; the last one: HTTP 502 Bad Gateway",
            at=ENDED_AT,
            topic=Topic.ENDPOINT_FAILING,
        ),
        endpoint_event(
            "chat", count=1, reason="it failed for 51 min", at=ENDED_AT + 960, topic=Topic.ENDPOINT_RECOVERED
        ),
        unread_event(unread),
    ]


def archived_sample(
    *,
    url: str | None = "https://bridge.example.com/results/a-1.mp4?expires=1762604928&signature=mVQ2",
    count: int = 1,
    **task: Any,
) -> Event:
    """The event about this many copies, with or without links."""
    done = task_sample(**({"label": "Lighthouse at dawn, take 3"} | task))
    stem = str(done.data["label"]).replace(" ", "_").replace(",", "_")
    copies = [COPY | {"n": n, "url": url, "path": f"2025/11/01/kling/{stem}-{n}.mp4"} for n in range(1, count + 1)]
    return archived_event(done.data, copies, of=done.event_id, at=ENDED_AT + 3)


def as_delivery(
    parcel: Parcel, event: Event, *, attempts: int = 0, target: str | None = None, sent_so_far: str = ""
) -> Delivery:
    """The delivery of this parcel, as the dispatcher hands it over."""
    return Delivery(
        delivery_id=1,
        event_id=event.event_id,
        endpoint=parcel.endpoint,
        target=parcel.target if target is None else target,
        topic=event.topic,
        account=event.account,
        subject=event.subject,
        attempts=attempts,
        body=parcel.body,
        address=parcel.address,
        sent_so_far=sent_so_far,
    )
