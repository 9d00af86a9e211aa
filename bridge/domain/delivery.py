"""One event owed to one destination: its states, its attempts, what an outcome does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from bridge.domain.backoff import RetryPlan, retry_in_s
from bridge.domain.shares import slot_of


class DeliveryState(StrEnum):
    WAITING = "waiting"  # moved on by an attempt; after a crash the next daemon attempts again
    ACCEPTED = "accepted"  # the receiver said so; only `redeliver` reopens it
    DEAD = "dead"  # given up and kept; only `redeliver` reopens it
    CANCELED = "canceled"  # overtaken by the task's end before it was accepted


DELIVERY_FOLLOWS: Final[Mapping[DeliveryState, frozenset[DeliveryState]]] = {
    DeliveryState.WAITING: frozenset(
        {DeliveryState.WAITING, DeliveryState.ACCEPTED, DeliveryState.DEAD, DeliveryState.CANCELED}
    ),
    DeliveryState.ACCEPTED: frozenset({DeliveryState.WAITING}),
    DeliveryState.DEAD: frozenset({DeliveryState.WAITING}),
    DeliveryState.CANCELED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receiver took it."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not this time; try again. `retry_after_s` is the receiver's own hint."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The receiver wants nothing more at this address (HTTP 410): the endpoint is disabled, the delivery waits."""

    reason: str


Outcome = Accepted | Deferred | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sink needs for one attempt. `attempts` counts those made in the present round of retries."""

    delivery_id: int
    event_id: str
    endpoint: str
    target: str
    topic: str
    account: str
    subject: str
    attempts: int
    body: bytes

    @property
    def slot(self) -> int:
        """In which slot of its endpoint's scope it lies."""
        return slot_of(self.subject or self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMade:
    """One try of one delivery, with its outcome and what follows from it."""

    delivery_id: int
    event_id: str
    endpoint: str
    state: DeliveryState
    attempts: int
    outcome: str  # accepted, deferred, refused
    detail: str
    at: float
    duration_s: float
    next_attempt_at: float | None
    disables: bool


def settle(
    delivery: Delivery, outcome: Outcome, *, plan: RetryPlan, now: float, duration_s: float, chance: float
) -> AttemptMade:
    """What one outcome does to a delivery. `now` is the instant after the attempt."""
    attempts = delivery.attempts + 1
    state, next_at, disables = DeliveryState.WAITING, None, False
    match outcome:
        case Accepted(detail=detail):
            state, word = DeliveryState.ACCEPTED, "accepted"
        case Deferred(reason=detail, retry_after_s=hint):
            word = "deferred"
            wait_s = retry_in_s(plan, attempts, retry_after_s=hint, chance=chance)
            if wait_s is None:
                state = DeliveryState.DEAD
            else:
                next_at = now + wait_s
        case Refused(reason=detail):
            # It does not age while its endpoint is disabled: this attempt does not count as a retry.
            word, attempts, next_at, disables = "refused", delivery.attempts, now, True
        case _:
            assert_never(outcome)
    return AttemptMade(
        delivery_id=delivery.delivery_id,
        event_id=delivery.event_id,
        endpoint=delivery.endpoint,
        state=state,
        attempts=attempts,
        outcome=word,
        detail=detail,
        at=now,
        duration_s=duration_s,
        next_attempt_at=next_at,
        disables=disables,
    )
