"""Facts told to the outside: topics, events, and the documented `data` of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bridge.domain.task import Json


class Topic(StrEnum):
    """An event's kind, as receivers see it."""

    TASK_SUCCEEDED = "task_succeeded"
    TASK_FAILED = "task_failed"
    TASK_CANCELED = "task_canceled"
    TASK_NOT_FOUND = "task_not_found"
    TASK_TIMED_OUT = "task_timed_out"
    TASK_RUNNING = "task_running"
    TASK_PROGRESS = "task_progress"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_RESTORED = "account_restored"
    ENDPOINT_DISABLED = "endpoint_disabled"


END_TOPICS: Final = frozenset(
    {
        Topic.TASK_SUCCEEDED,
        Topic.TASK_FAILED,
        Topic.TASK_CANCELED,
        Topic.TASK_NOT_FOUND,
        Topic.TASK_TIMED_OUT,
    }
)
LIVE_TOPICS: Final = frozenset({Topic.TASK_RUNNING, Topic.TASK_PROGRESS})  # only where a route names them
OPERATOR_TOPICS: Final = frozenset({Topic.ACCOUNT_BLOCKED, Topic.ACCOUNT_RESTORED, Topic.ENDPOINT_DISABLED})

TASK_STATUS: Final[Mapping[Topic, str]] = {
    Topic.TASK_SUCCEEDED: "succeed",  # the documented word, without "ed"
    Topic.TASK_FAILED: "failed",
    Topic.TASK_CANCELED: "canceled",
    Topic.TASK_NOT_FOUND: "not_found",
    Topic.TASK_TIMED_OUT: "timed_out",
    Topic.TASK_RUNNING: "processing",
    Topic.TASK_PROGRESS: "processing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about a transition; immutable, with an id that repeats after a crash.

    `subject` is the task id, or the endpoint's name for operator topics about one, else "". `data` is what
    receivers are told under that key, complete. `endpoints` are those the task names itself (None: the routes
    decide). `kept` are the fields of the task that its description keeps beside.
    """

    event_id: str
    topic: Topic
    account: str
    subject: str
    occurred_at: float
    data: Mapping[str, Json]
    endpoints: tuple[str, ...] | None = None
    kept: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An event's bytes for one destination, fixed at the commit.

    `target` tells the destinations of one endpoint apart (the URLs of a chat endpoint); "" where there is one.
    """

    endpoint: str
    target: str
    body: bytes
