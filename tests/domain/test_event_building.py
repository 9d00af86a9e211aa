from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.change import AccountChange, AnswerUnread, Note, TaskChange
from bridge.domain.event import SUPERSEDED_BY_END, Event, Topic
from bridge.domain.event_building import account_event, endpoint_event, task_event, unread_event
from bridge.domain.ids import WatchKey, event_id
from bridge.domain.task import ReadingKind, Snapshot
from bridge.domain.watch import Memory
from tests.factories import END_TOPICS, NOW, make_state, make_watch

KEYS = [
    *("task_id", "task_status", "task_status_msg", "created_at", "updated_at", "task_result"),
    *("urls", "expires_at", "reason", "provider", "account", "action", "label", "meta"),
    *("event_id", "watched_at", "ended_at", "result_missing", "error_code", "archive"),
]


def change(topic: Topic | None = Topic.TASK_SUCCEEDED, **fields: Any) -> TaskChange:
    note = Note(
        key=WatchKey("kling", "task-1"),
        generation=1,
        memory=Memory(),
        kind=ReadingKind.SUCCEEDED,
        detail="",
        at=NOW,
        next_poll_at=None,
        next_poll_why="",
    )
    defaults: dict[str, Any] = {
        "note": note,
        "ends": topic in END_TOPICS,
        "topic": topic,
        "topic_part": "",
        "reason": None,
        "snapshot": None,
        "provider": "kling",
        "at": NOW + 60.0,
    }
    return TaskChange(**defaults | fields)


def told(topic: Topic = Topic.TASK_SUCCEEDED, *, generation: int = 1, **fields: Any) -> Event:
    event = task_event(make_watch(state=make_state(generation=generation)), change(topic, **fields))
    assert event is not None
    return event


def test_a_succeeded_task_is_reported_as_documented() -> None:
    snapshot = Snapshot(
        status="succeed",
        message="fine",
        created_ms=1722769557708,
        updated_ms=1722769560000,
        result={"videos": [{"id": "v1", "url": "https://a.test/v1.mp4", "duration": "5.1"}]},
        urls=("https://a.test/v1.mp4",),
        expires_ms=1722855960000,
    )
    watch = make_watch(label="a cat", meta={"order": 7}, endpoints=("chat",))
    event = task_event(watch, change(snapshot=snapshot))
    assert event is not None
    identity = event_id("task_succeeded", "kling", "task-1", 1)
    assert event.data == {
        "task_id": "task-1",
        "task_status": "succeed",
        "task_status_msg": "fine",
        "created_at": 1722769557708,
        "updated_at": 1722769560000,
        "task_result": {"videos": [{"id": "v1", "url": "https://a.test/v1.mp4", "duration": "5.1"}]},
        "urls": ["https://a.test/v1.mp4"],
        "expires_at": 1722855960000,
        "reason": None,
        "provider": "kling",
        "account": "kling",
        "action": "videos/text2video",
        "label": "a cat",
        "meta": {"order": 7},
        "event_id": identity,
        "watched_at": 1762000000000,
        "ended_at": 1762000060000,
        "result_missing": False,
        "error_code": None,
        "archive": [],
    }
    assert list(event.data) == KEYS
    assert (event.event_id, event.topic, event.account, event.subject) == (
        identity,
        Topic.TASK_SUCCEEDED,
        "kling",
        "task-1",
    )
    assert (event.occurred_at, event.endpoints) == (NOW + 60.0, ("chat",))


@pytest.mark.parametrize("topic", sorted(END_TOPICS))
def test_every_final_event_has_all_keys_even_if_nothing_is_known(topic: Topic) -> None:
    event = told(topic, reason="why")
    assert list(event.data) == KEYS
    assert event.data["task_status"] == topic.facts.status
    assert (event.data["task_status_msg"], event.data["task_result"], event.data["urls"]) == ("", {}, [])
    assert (event.data["reason"], event.data["ended_at"]) == ("why", 1762000060000)
    assert event.data["created_at"] is event.data["updated_at"] is event.data["expires_at"] is None


@pytest.mark.parametrize("topic", sorted(SUPERSEDED_BY_END))
def test_a_task_that_goes_on_is_processing_and_has_not_ended(topic: Topic) -> None:
    event = told(topic)
    assert (event.data["task_status"], event.data["ended_at"]) == ("processing", None)


def test_progress_is_reported_with_its_percentage() -> None:
    event = told(Topic.TASK_PROGRESS, topic_part="40", snapshot=Snapshot(progress=40.0))
    assert list(event.data) == [*KEYS, "progress"]
    assert event.data["progress"] == 40.0
    assert event.event_id != told(Topic.TASK_PROGRESS, topic_part="50").event_id


def test_a_change_without_a_topic_creates_no_event() -> None:
    assert task_event(make_watch(), change(None)) is None


def test_watching_a_task_again_creates_new_events() -> None:
    assert told().event_id == told().event_id != told(generation=2).event_id


def test_an_account_is_blocked_and_restored_under_ids_that_count_its_blocks() -> None:
    def blocks(count: int, *, blocked: bool) -> Event:
        return account_event(
            AccountChange(account="kling", blocked=blocked, reason="401", count=count, blocked_s=0.0, at=NOW)
        )

    event = blocks(1, blocked=True)
    assert (event.topic, event.account, event.subject, event.endpoints) == (Topic.ACCOUNT_BLOCKED, "kling", "", None)
    assert event.data == {
        "account": "kling",
        "reason": "401",
        "occurred_at": 1762000000000,
        "event_id": event.event_id,
    }
    assert blocks(1, blocked=False).topic is Topic.ACCOUNT_RESTORED
    ids = {blocks(count, blocked=blocked).event_id for count in (1, 2) for blocked in (True, False)}
    assert len(ids) == 4


def test_a_disabled_endpoint_is_reported_under_an_id_that_counts() -> None:
    event = endpoint_event("automation", count=1, reason="410 Gone", at=NOW)
    assert (event.topic, event.account, event.subject) == (Topic.ENDPOINT_DISABLED, "", "automation")
    assert event.data == {
        "endpoint": "automation",
        "reason": "410 Gone",
        "occurred_at": 1762000000000,
        "event_id": event.event_id,
    }
    assert event.event_id != endpoint_event("automation", count=2, reason="410 Gone", at=NOW).event_id


@given(st.sampled_from(sorted(END_TOPICS | SUPERSEDED_BY_END)), st.floats(0, 4e9), st.text(max_size=5))
def test_an_event_built_twice_has_the_same_id_and_data(topic: Topic, at: float, part: str) -> None:
    assert told(topic, at=at, topic_part=part) == told(topic, at=at, topic_part=part)


def test_a_finish_without_an_answer_reports_the_last_stored_one() -> None:
    before, now = Snapshot(kept={"model": "a/b", "input": {"seed": 1}}), Snapshot(kept={"model": "c/d"})
    late = task_event(make_watch(snapshot=before), change(Topic.TASK_TIMED_OUT))
    done = task_event(make_watch(snapshot=before), change(snapshot=now))

    assert late is not None
    assert done is not None
    assert (late.kept, done.kept) == (before.kept, now.kept)
    assert "kept" not in done.data


def test_an_unreadable_answer_is_an_event_once_for_each_word() -> None:
    change = AnswerUnread(account="kling", word="boiling", reason="unknown status", answers=3, at=NOW)
    event, later = unread_event(change), unread_event(replace(change, answers=9, at=NOW + 60))
    assert (event.topic, event.account, event.subject) == (Topic.UNKNOWN_STATUS, "kling", "")
    assert event.event_id == later.event_id != unread_event(replace(change, word="cold")).event_id
