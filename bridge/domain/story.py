"""From a change to the event it causes: the documented `data` of task and operator topics."""

from __future__ import annotations

from bridge.domain.change import AccountChange, TaskChange
from bridge.domain.event import TASK_STATUS, Event, Topic
from bridge.domain.ids import event_id
from bridge.domain.task import Json, Snapshot
from bridge.domain.watch import Watch


def task_event(watch: Watch, change: TaskChange) -> Event | None:
    """The event of a task's change, or None when nobody is to be told.

    The keys of `data` and their order are the documented query answer's, then genbridge's own; all are always
    there (product contract, section 6).
    """
    topic = change.topic
    if topic is None:
        return None
    state = watch.state
    identity = event_id(topic, state.account, state.task_id, state.generation, change.topic_part)
    seen = change.snapshot or Snapshot()
    data: dict[str, Json] = {
        "task_id": state.task_id,
        "task_status": TASK_STATUS[topic],
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
        kept=seen.kept or (watch.snapshot.kept if watch.snapshot else {}),  # an end that is ours has no answer
    )


def account_event(change: AccountChange) -> Event:
    """`account_blocked` or `account_restored`; `change.count` numbers the blocks of the account."""
    topic = Topic.ACCOUNT_BLOCKED if change.blocked else Topic.ACCOUNT_RESTORED
    return _operator_event(topic, "account", change.account, change.count, change.reason, change.at)


def endpoint_event(endpoint: str, *, count: int, reason: str, at: float) -> Event:
    """`endpoint_disabled`; `count` numbers the times this endpoint was disabled."""
    return _operator_event(Topic.ENDPOINT_DISABLED, "endpoint", endpoint, count, reason, at)


def _operator_event(topic: Topic, role: str, name: str, count: int, reason: str, at: float) -> Event:
    account, subject = (name, "") if role == "account" else ("", name)
    identity = event_id(topic, account, subject, count)
    data = {role: name, "reason": reason, "occurred_at": _ms(at), "event_id": identity}
    return Event(event_id=identity, topic=topic, account=account, subject=subject, occurred_at=at, data=data)


def _ms(at: float) -> int:
    return round(at * 1000)
