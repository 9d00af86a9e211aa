"""The requests and answers of the API. Times are RFC 3339 in UTC, with milliseconds."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, WithJsonSchema

from bridge.config.duration_syntax import PATTERN
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Topic
from bridge.domain.task import Phase
from bridge.http.api_route import ApiModel

Limit = Annotated[int, Field(ge=1, le=1000, description="at most this many")]
Since = Annotated[
    str,
    WithJsonSchema(
        {
            "description": "a time (RFC 3339), or an age such as 2h",
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": PATTERN}],
        }
    ),
]
WAIT_S: Final = 300.0


class TaskKey(ApiModel):
    """One watched task."""

    account: str | None = Field(None, description="may be left out when only one account watches the id")
    id: str = Field(min_length=1, description="the task id at the provider")


class AddQuery(ApiModel):
    account: str | None = Field(None, description="the account of tasks that name none, such as a create answer")
    again: bool = Field(False, description="watch finished tasks again")


class AddedTask(BaseModel):
    account: str
    id: str
    what: str = Field(description="added, revived, again, known (already watched) or ended (finished before)")
    phase: str


class AddedTasks(BaseModel):
    """The tasks, in the order of the request. They are on disk. A bare id that a body of more than 64 KiB repeats
    may be listed once."""

    tasks: list[AddedTask]


class TaskRecord(BaseModel):
    """A watched task, as `genbridge list --json` prints it."""

    account: str
    id: str
    action: str | None
    label: str | None
    meta: dict[str, Any]
    phase: Phase
    added_at: str
    ended_at: str | None
    next_poll_at: str | None = Field(description="null: at once, never, or unknown")
    polls: int
    progress: float | None = Field(description="percent, 0 to 100; null: unknown")
    urls: list[str]
    reason: str | None
    eta_at: str | None = Field(description="when half of similar tasks have finished; null: unknown")
    eta_low_at: str | None
    eta_high_at: str | None


class TaskListQuery(ApiModel):
    phase: Phase | None = None
    account: str | None = None
    label: str | None = None
    q: str | None = Field(
        None,
        max_length=1024,
        description="the beginning of an id, of ACCOUNT/ID or of a label, or the id of an event; if no task begins "
        "with this text, the tasks that contain it",
    )
    since: Since | None = Field(None, description="added or finished since")
    limit: Limit = 100
    cursor: str | None = Field(None, description="`next` of the page before")


class TaskPage(BaseModel):
    """A page of tasks, the last added first. `next` is the cursor of the next page; null on the last one. In a large
    store, a page with a filter may be short, or empty, and still have a `next`."""

    tasks: list[TaskRecord]
    next: str | None


class DeliveryRecord(BaseModel):
    """A delivery, as `genbridge deliveries --json` prints it."""

    event_id: str
    endpoint: str
    target: str | None
    topic: str
    account: str | None
    id: str | None
    about: str | None
    state: DeliveryState
    attempts: int
    next_attempt_at: str | None
    last_outcome: str | None
    created_at: str
    last_reason: str | None = Field(description="the answer to the last attempt, or why there was none")


class TaskQuery(TaskKey):
    wait: float = Field(0.0, ge=0, le=WAIT_S, description="wait until the task has finished, at most this many seconds")


class TaskDetails(TaskRecord):
    """A task with its deliveries and its history."""

    deliveries: list[DeliveryRecord]
    story: dict[str, Any] = Field(description="as `genbridge explain --json` prints it")


class Requested(BaseModel):
    """The result of a request about one task."""

    account: str
    id: str
    done: bool = Field(description="false when there was nothing to do")
    detail: str


class DeliveryListQuery(ApiModel):
    state: DeliveryState | None = None
    endpoint: str | None = None
    topic: Topic | None = None
    task: str | None = Field(None, description="a task id; ACCOUNT/ID if several accounts watch it")
    since: Since | None = Field(None, description="created since")
    limit: Limit = 100
    cursor: str | None = Field(None, description="`next` of the page before")


class DeliveryPage(BaseModel):
    """A page of deliveries, the newest first. `next` is the cursor of the next page; null on the last one."""

    deliveries: list[DeliveryRecord]
    next: str | None


class AttemptRecord(BaseModel):
    """One attempt of a delivery."""

    at: str
    outcome: str
    detail: str | None
    duration_s: float


class DeliveryWithAttempts(DeliveryRecord):
    attempts_made: list[AttemptRecord]


class EventDeliveries(BaseModel):
    """The deliveries of one event, with all attempts."""

    event_id: str
    deliveries: list[DeliveryWithAttempts]


class Redeliver(ApiModel):
    """Either `event_ids`, or at least one of `state`, `since` and `topic`; `endpoint` narrows these."""

    event_ids: list[str] | None = Field(None, max_length=10_000)
    state: DeliveryState | None = None
    endpoint: str | None = None
    since: Since | None = Field(None, description="created since")
    topic: Topic | None = None
    expect: int | None = Field(
        None, ge=0, strict=True, description="refuse (409) if another number of deliveries matches"
    )


class Redelivered(BaseModel):
    redelivered: int


class EndpointEnabled(BaseModel):
    endpoint: str
    was_disabled: bool
    was_held: bool


class SampleOutcome(BaseModel):
    target: str | None
    outcome: str
    detail: str


class SampleSent(BaseModel):
    """The outcome of a sample for each target of the endpoint."""

    endpoint: str
    outcomes: list[SampleOutcome]


class AccountsAnswer(BaseModel):
    accounts: list[dict[str, Any]]


class EndpointsAnswer(BaseModel):
    endpoints: list[dict[str, Any]]


class StatusAnswer(BaseModel):
    """The status, as `genbridge status --json` prints it."""

    model_config = {"extra": "allow"}


class HealthAnswer(BaseModel):
    status: str = Field(description="ok, stuck, ready or not ready")
    problems: list[str] | None = Field(
        None, description="why the daemon is stuck or not ready; only for callers with a token"
    )
    hint: str | None = Field(None, description="how to see the problems; only for callers without a token")


class Nothing(ApiModel):
    """An object without keys."""
