"""The events that endpoints receive, and their topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bridge.domain.slots import slot_of
from bridge.domain.task import Json


class Topic(StrEnum):
    """The kind of an event, as receivers see it."""

    TASK_SUCCEEDED = "task_succeeded"
    TASK_FAILED = "task_failed"
    TASK_CANCELED = "task_canceled"
    TASK_NOT_FOUND = "task_not_found"
    TASK_TIMED_OUT = "task_timed_out"
    TASK_ARCHIVED = "task_archived"
    TASK_RUNNING = "task_running"
    TASK_PROGRESS = "task_progress"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_RESTORED = "account_restored"
    ENDPOINT_DISABLED = "endpoint_disabled"
    ENDPOINT_FAILING = "endpoint_failing"
    ENDPOINT_RECOVERED = "endpoint_recovered"
    UNKNOWN_STATUS = "unknown_status"


LIVE_TOPICS: Final = frozenset({Topic.TASK_RUNNING, Topic.TASK_PROGRESS})
ON_REQUEST: Final = LIVE_TOPICS | {Topic.TASK_ARCHIVED}  # sent only if a route names them
END_TOPICS: Final = frozenset(
    {Topic.TASK_SUCCEEDED, Topic.TASK_FAILED, Topic.TASK_CANCELED, Topic.TASK_NOT_FOUND, Topic.TASK_TIMED_OUT}
)
ENDPOINT_TOPICS: Final = frozenset({Topic.ENDPOINT_DISABLED, Topic.ENDPOINT_FAILING, Topic.ENDPOINT_RECOVERED})
OPERATOR_TOPICS: Final = ENDPOINT_TOPICS | {Topic.ACCOUNT_BLOCKED, Topic.ACCOUNT_RESTORED, Topic.UNKNOWN_STATUS}
FOR_PEOPLE: Final = frozenset(  # sent to other endpoints only if a route names them
    {Topic.ENDPOINT_FAILING, Topic.ENDPOINT_RECOVERED, Topic.UNKNOWN_STATUS}
)

TASK_STATUS: Final[Mapping[Topic, str]] = {
    Topic.TASK_SUCCEEDED: "succeed",  # the documented word has no "ed"
    Topic.TASK_FAILED: "failed",
    Topic.TASK_CANCELED: "canceled",
    Topic.TASK_NOT_FOUND: "not_found",
    Topic.TASK_TIMED_OUT: "timed_out",
    Topic.TASK_RUNNING: "processing",
    Topic.TASK_PROGRESS: "processing",
    Topic.TASK_ARCHIVED: "succeed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about a transition, an account or an endpoint. Immutable; after a crash the same event has the same id.

    `subject` is the task id, the endpoint's name for topics about an endpoint, or else "". `data` is the whole value of
    that key in a payload. `endpoints` are those that the task itself names (None: the routes decide). `kept` are
    further fields of the task, which the provider's description keeps.
    """

    event_id: str
    topic: Topic
    account: str
    subject: str
    occurred_at: float
    data: Mapping[str, Json]
    endpoints: tuple[str, ...] | None = None
    kept: Mapping[str, Json] = field(default_factory=dict)
    is_release: bool = False  # an earlier event again: its held deliveries get new bytes and are due now

    @property
    def slot(self) -> int:
        """The slot of its deliveries, in the scope of each endpoint."""
        return slot_of(self.subject or self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An event's bytes for one destination, fixed when the event is committed.

    `target` distinguishes the destinations of one endpoint (the URLs of a chat endpoint); "" if there is only one.
    `due_at` of 0 or less means at once, the lowest first; a later time (steady) holds the delivery until its event is
    released. `address` is the part of the URL that the sink fixes for this delivery; "" if the endpoint's URL has no
    such part. `is_documented`: the body is the documented one, so the store does not keep it twice.
    """

    endpoint: str
    target: str
    body: bytes
    address: str = ""
    is_documented: bool = False
    due_at: float = 0.0
