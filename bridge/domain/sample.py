"""The samples that `genbridge test` sends. They are built in the same way as real events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.domain.archive_names import CopyMade
from bridge.domain.change import AccountChange, AnswerUnread, Note, TaskChange
from bridge.domain.event import END_TOPICS, ENDPOINT_TOPICS, Event, Topic
from bridge.domain.event_building import account_event, archived_event, endpoint_event, task_event, unread_event
from bridge.domain.ids import WatchKey
from bridge.domain.task import Json, ReadingKind, Snapshot
from bridge.domain.watch import Memory, Watch, WatchState

URL = "https://example.com/genbridge-sample.mp4"
KEY = WatchKey("sample", "genbridge-sample")
META: Mapping[str, Json] = {"sample": True}
TOOK_S: Final = 60.0
TIMED_OUT_S: Final = 86_400.0  # the default of give_up_after
MOST_RESULTS: Final = 10

_REASONS: Final[Mapping[Topic, str]] = {
    Topic.TASK_FAILED: "The prompt was refused by content moderation.",
    Topic.TASK_CANCELED: "The task was canceled at the provider.",
    Topic.TASK_NOT_FOUND: "HTTP 404, code 1203: task not found",
    Topic.TASK_TIMED_OUT: f"not finished after {TIMED_OUT_S:.0f} s (give_up_after); the last answer: processing",
    Topic.ACCOUNT_BLOCKED: "HTTP 402: not enough credits",
    Topic.ENDPOINT_DISABLED: "HTTP 410 Gone",
    Topic.ENDPOINT_FAILING: "no success for 35 min, 8 failed attempts; the last one: HTTP 502 Bad Gateway",
    Topic.ENDPOINT_RECOVERED: "it failed for 51 min",
    Topic.UNKNOWN_STATUS: 'unknown status "moderating" (task genbridge-sample); polling continues',
}


def is_sample(event: Event) -> bool:
    """Whether the event is about the sample's task."""
    return (event.account, event.subject, event.data.get("meta")) == (*KEY, META)


def sample_event(
    at: float, topic: Topic = Topic.TASK_SUCCEEDED, *, results: int = 1, has_images: bool = False
) -> Event:
    """An event of this topic about a task, account or endpoint that does not exist. With one result it is a video, with
    several they are images. With `has_images`, a single result is an image, too."""
    reason = _REASONS.get(topic, "")
    if topic in {Topic.ACCOUNT_BLOCKED, Topic.ACCOUNT_RESTORED}:
        is_blocked = topic is Topic.ACCOUNT_BLOCKED
        lasted_s = 0.0 if is_blocked else 41 * 60.0
        change = AccountChange(
            account=KEY.account,
            blocked=is_blocked,
            reason=reason,
            count=1,
            blocked_s=lasted_s,
            at=at,
            lasted_s=lasted_s,
            tasks=14,
        )
        return account_event(change)
    if topic in ENDPOINT_TOPICS:
        return endpoint_event(KEY.account, count=1, reason=reason, at=at, topic=topic)
    if topic is Topic.UNKNOWN_STATUS:
        return unread_event(AnswerUnread(account=KEY.account, word="moderating", reason=reason, answers=1, at=at))
    if topic is Topic.TASK_ARCHIVED:
        end = sample_event(at, results=results, has_images=has_images)
        copies = [
            _copy(kind, n, item) for kind, items in end.data["task_result"].items() for n, item in enumerate(items)
        ]
        return archived_event(end.data, copies, of=end.event_id, at=at)
    images = sample_images(results) if results > 1 or has_images else ()
    return _task_event(at, topic, reason, images)


def sample_images(results: int) -> tuple[str, ...]:
    return tuple(f"https://example.com/genbridge-sample-{number}.png" for number in range(1, results + 1))


def _task_event(at: float, topic: Topic, reason: str, images: tuple[str, ...]) -> Event:
    state = WatchState(
        *KEY,
        generation=1,
        action="images/generations" if images else "videos/text2video",
        give_up_after_s=None,
        added_at=at - (TIMED_OUT_S if topic is Topic.TASK_TIMED_OUT else TOOK_S),
    )
    watch = Watch(state=state, label="genbridge sample", meta=META)
    change = TaskChange(
        note=Note(KEY, 1, Memory(), ReadingKind.RUNNING, "", at=at, next_poll_at=None, next_poll_why=""),
        ends=topic in END_TOPICS,
        topic=topic,
        reason=reason or None,
        snapshot=_snapshot(topic, images),
        provider="kling",
        at=at,
    )
    event = task_event(watch, change)
    assert event is not None  # never None, because it has a topic
    return event


def _snapshot(topic: Topic, images: tuple[str, ...]) -> Snapshot | None:
    if topic is Topic.TASK_FAILED:
        return Snapshot(status="failed", error_code="1301")
    if topic.facts.status == "processing":
        return Snapshot(status="processing", progress=45.0)
    if topic is not Topic.TASK_SUCCEEDED:
        return None
    if not images:
        return Snapshot(status="succeed", result={"videos": [{"id": "1", "url": URL, "duration": "5.1"}]}, urls=(URL,))
    items = [{"index": place, "url": url} for place, url in enumerate(images)]
    return Snapshot(status="succeed", result={"images": items}, urls=images)


def _copy(kind: str, place: int, item: Mapping[str, Json]) -> Json:
    """The copy of one result, as `archive` lists it."""
    name = str(item["url"]).rpartition("/")[2]
    media_type = "video/mp4" if kind == "videos" else "image/png"
    return CopyMade(kind, place + 1, f"sample/{name}", None, 4_194_304, "0" * 64, media_type)._asdict()
