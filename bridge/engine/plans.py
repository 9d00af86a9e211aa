"""How accounts are polled and endpoints are served, according to the current settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.backoff import RetryPlan
from bridge.domain.cadence import Pacing
from bridge.domain.event import Topic
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.slots import groups_for
from bridge.domain.watch import Rules
from bridge.ports import CallbackReader, Provider, Sink, TaskLists

AHEAD: Final = 512  # deliveries per fetch: with 128, a burst of 5,000 tasks is notified at two thirds of the speed


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    provider: Provider
    provider_name: str
    host: str  # accounts on the same host share its limits
    limits: RateLimits
    pacing: Pacing
    rules: Rules
    requested_topics: frozenset[Topic]  # of `ON_REQUEST`, those that a route names; the others cause no event
    callbacks: CallbackReader
    lists: TaskLists | None = None  # if the provider has a list of its tasks
    is_batched: bool = False  # one request can poll many tasks, so one daemon should poll them all

    @property
    def groups(self) -> int:
        """The largest number of daemons that can share the account."""
        return 1 if self.is_batched else groups_for(self.limits.burst, self.limits.concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    sink: Sink
    concurrency: int
    retries: RetryPlan
    fingerprint: str  # hash of the settings; when it changes, an endpoint that answered 410 is enabled again
    in_order: bool = False  # for people: one message at a time, in commit order
    is_resumable: bool = False  # an interrupted attempt continues where it was, so a stop does not wait for one
    is_waited_for: bool = True  # of the archive: events may wait for their copies
    ahead: int = AHEAD  # maximum number of deliveries fetched at once; few if later ones may be more urgent

    @property
    def groups(self) -> int:
        """The largest number of daemons that can share the endpoint."""
        return groups_for(self.concurrency)
