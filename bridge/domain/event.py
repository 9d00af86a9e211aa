"""The events that endpoints receive, and their topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from bridge.domain.slots import slot_of
from bridge.domain.task import Json, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    """What is true of a topic. Every set of topics below follows from it.

    For operator topics, `about` is also the key of the name in `data`. `status` is the documented `task_status`, ""
    if the topic is not about a task. `ends_as` is the phase of a task that finishes with this event. `by_default` says
    which endpoints receive it if no route names it; people: chats and group robots. `is_superseded_by_end`: once the
    task has finished, a delivery that still waits is canceled.
    """

    about: Literal["task", "account", "endpoint"]
    status: str = ""
    ends_as: Phase | None = None
    by_default: Literal["all", "people", "none"] = "all"
    is_superseded_by_end: bool = False


_UNDER_WAY: Final = TopicFacts(about="task", status="processing", by_default="none", is_superseded_by_end=True)


class Topic(StrEnum):
    """The kind of an event, as receivers see it."""

    facts: TopicFacts

    # The documented word is "succeed", without "ed".
    TASK_SUCCEEDED = "task_succeeded", TopicFacts(about="task", status="succeed", ends_as=Phase.SUCCEEDED)
    TASK_FAILED = "task_failed", TopicFacts(about="task", status="failed", ends_as=Phase.FAILED)
    TASK_CANCELED = "task_canceled", TopicFacts(about="task", status="canceled", ends_as=Phase.CANCELED)
    TASK_NOT_FOUND = "task_not_found", TopicFacts(about="task", status="not_found", ends_as=Phase.NOT_FOUND)
    TASK_TIMED_OUT = "task_timed_out", TopicFacts(about="task", status="timed_out", ends_as=Phase.TIMED_OUT)
    TASK_ARCHIVED = "task_archived", TopicFacts(about="task", status="succeed", by_default="none")
    TASK_RUNNING = "task_running", _UNDER_WAY
    TASK_PROGRESS = "task_progress", _UNDER_WAY
    ACCOUNT_BLOCKED = "account_blocked", TopicFacts(about="account")
    ACCOUNT_RESTORED = "account_restored", TopicFacts(about="account")
    ENDPOINT_DISABLED = "endpoint_disabled", TopicFacts(about="endpoint")
    ENDPOINT_FAILING = "endpoint_failing", TopicFacts(about="endpoint", by_default="people")
    ENDPOINT_RECOVERED = "endpoint_recovered", TopicFacts(about="endpoint", by_default="people")
    UNKNOWN_STATUS = "unknown_status", TopicFacts(about="account", by_default="people")

    def __new__(cls, value: str, facts: TopicFacts = _UNDER_WAY) -> Topic:  # the default is for look-ups: Topic(text)
        topic = str.__new__(cls, value)
        topic._value_, topic.facts = value, facts
        return topic


TASK_TOPICS: Final = frozenset(topic for topic in Topic if topic.facts.about == "task")
OPERATOR_TOPICS: Final = frozenset(Topic) - TASK_TOPICS
ENDPOINT_TOPICS: Final = frozenset(topic for topic in Topic if topic.facts.about == "endpoint")
END_TOPICS: Final = frozenset(topic for topic in Topic if topic.facts.ends_as is not None)
SUPERSEDED_BY_END: Final = frozenset(topic for topic in Topic if topic.facts.is_superseded_by_end)
ON_REQUEST: Final = frozenset(topic for topic in Topic if topic.facts.by_default == "none")
FOR_PEOPLE: Final = frozenset(topic for topic in Topic if topic.facts.by_default == "people")


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

    @property
    def urls(self) -> list[str]:
        urls = self.data.get("urls")
        return [url for url in urls if isinstance(url, str)] if isinstance(urls, list | tuple) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An event's bytes for one target, fixed when the event is committed.

    `target` distinguishes those of one endpoint (the URLs of a chat endpoint); "" if there is only one.
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
