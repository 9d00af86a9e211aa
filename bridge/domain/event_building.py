"""Builds the event of a change, with the documented `data` of task and operator topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.domain.change import AccountChange, AnswerUnread, TaskChange
from bridge.domain.event import Event, Topic
from bridge.domain.ids import event_id
from bridge.domain.task import Json, Snapshot
from bridge.domain.watch import Watch


def task_event(watch: Watch, change: TaskChange) -> Event | None:
    """The event of a task's change; None when the change causes none.

    `data` has the keys of the documented query answer, in its order, then genbridge's own. All keys are always present.
    """
    topic = change.topic
    if topic is None:
        return None
    state = watch.state
    identity = event_id(topic, state.account, state.task_id, state.generation, change.topic_part)
    seen = change.snapshot or Snapshot()
    data: dict[str, Json] = {
        "task_id": state.task_id,
        "task_status": topic.facts.status,
        "task_status_msg": seen.message,
        "created_at": seen.created_ms,
        "updated_at": seen.updated_ms,
        "task_result": {kind: [dict(item) for item in items] for kind, items in seen.result.items()},
        "urls": list(seen.urls),
        "expires_at": seen.expires_ms,
        "reason": change.reason,
        "provider": change.provider,
        "account": state.account,
        "action": state.action,
        "label": watch.label,
        "meta": dict(watch.meta),
        "event_id": identity,
        "watched_at": _ms(state.added_at),
        "ended_at": _ms(change.at) if change.ends else None,
        "result_missing": seen.result_missing,
        "error_code": seen.error_code,
        "archive": [],
    }
    if topic is Topic.TASK_PROGRESS:
        data["progress"] = seen.progress
    return Event(
        event_id=identity,
        topic=topic,
        account=state.account,
        subject=state.task_id,
        occurred_at=change.at,
        data=data,
        endpoints=watch.endpoints,
        kept=seen.kept or (watch.snapshot.kept if watch.snapshot else {}),  # a time-out has no answer of its own
    )


def archived_event(data: Mapping[str, Json], archive: Sequence[Json], *, of: str, at: float) -> Event:
    """`task_archived`: the `data` of the task's final event, whose id is `of`, with `archive` filled."""
    account, task_id = str(data["account"]), str(data["task_id"])
    identity = event_id(Topic.TASK_ARCHIVED, account, task_id, 0, of)
    archived_data = {**data, "event_id": identity, "archive": list(archive)}
    return Event(
        event_id=identity,
        topic=Topic.TASK_ARCHIVED,
        account=account,
        subject=task_id,
        occurred_at=at,
        data=archived_data,
    )


def released_event(archived: Event, *, of: str) -> Event:
    """The final event of a successful task, whose id is `of`, with the copies that `archived` names. Its held
    deliveries send it."""
    data = {**archived.data, "event_id": of}
    return replace(archived, event_id=of, topic=Topic.TASK_SUCCEEDED, data=data, is_release=True)


def account_event(change: AccountChange) -> Event:
    """`account_blocked` or `account_restored`."""
    topic = Topic.ACCOUNT_BLOCKED if change.blocked else Topic.ACCOUNT_RESTORED
    event = _operator_event(topic, change.account, change.count, change.reason, change.at)
    return replace(event, kept={"lasted_s": change.lasted_s, "tasks": change.tasks})


def endpoint_event(
    endpoint: str, *, count: int, reason: str, at: float, topic: Topic = Topic.ENDPOINT_DISABLED
) -> Event:
    """One of `ENDPOINT_TOPICS`; `count` numbers the events of this topic about this endpoint."""
    return _operator_event(topic, endpoint, count, reason, at)


def unread_event(change: AnswerUnread) -> Event:
    """`unknown_status`, once for each account and word."""
    return _operator_event(Topic.UNKNOWN_STATUS, change.account, 0, change.reason, change.at, change.word)


def _operator_event(topic: Topic, name: str, count: int, reason: str, at: float, part: str = "") -> Event:
    about = topic.facts.about
    account, subject = (name, "") if about == "account" else ("", name)
    identity = event_id(topic, account, subject, count, part)
    data = {about: name, "reason": reason, "occurred_at": _ms(at), "event_id": identity}
    return Event(event_id=identity, topic=topic, account=account, subject=subject, occurred_at=at, data=data)


def _ms(at: float) -> int:
    return round(at * 1000)
