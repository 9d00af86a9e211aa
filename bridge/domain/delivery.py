"""The delivery of one event to one target: its states, its attempts, and what each outcome changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from bridge.domain.backoff import JITTER, RetryPlan, retry_in_s
from bridge.domain.delivery_state import NOT_CHECKED, DeliveryState
from bridge.domain.event import Event
from bridge.domain.slots import slot_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receiver accepted it. `doubt`: why the body of the answer could not be checked, so that only its status
    counts. `event` is committed with the outcome."""

    detail: str
    doubt: str = ""
    event: Event | None = None

    @property
    def summary(self) -> str:
        """The detail, with the doubt as a warning."""
        return self.detail + NOT_CHECKED + self.doubt if self.doubt else self.detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The attempt failed and will be retried. `retry_after_s` is the wait that the receiver asked for.

    `delays_queue`: the whole queue (endpoint and target) waits for `retry_after_s`, also across a restart. It has no
    effect without `retry_after_s`. `is_unanswered`: the request was sent and may have been handled, so an early retry
    could repeat it. `sent_so_far` tells the next attempt which messages of this delivery were accepted. `is_counted`:
    False if the reason lies outside the delivery, so that the attempt does not use up a retry.
    """

    reason: str
    retry_after_s: float | None = None
    delays_queue: bool = False
    is_unanswered: bool = False
    sent_so_far: str = ""
    is_counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The receiver accepts no more requests at this address (HTTP 410). The endpoint is disabled, and the delivery
    waits."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeliverable:
    """It can never be sent, so the delivery is dead at once. Nothing was sent."""

    reason: str


Outcome = Accepted | Deferred | Refused | Undeliverable


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The data that a sink needs for one attempt. `attempts` counts the attempts in the current round of retries."""

    delivery_id: int
    event_id: str
    endpoint: str
    target: str
    topic: str
    account: str
    subject: str
    attempts: int
    body: bytes
    created_at: float = 0.0  # when its event was committed
    address: str = ""  # the part of the URL that was fixed at the commit, see `Parcel`
    sent_so_far: str = ""  # in this round of retries, see `Deferred`

    @property
    def slot(self) -> int:
        """Its slot in the scope of its endpoint."""
        return slot_of(self.subject or self.account or "")  # a damaged store may have lost the row of its event


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMade:
    """One attempt of one delivery, with its outcome and its consequences."""

    delivery_id: int
    event_id: str
    endpoint: str
    state: DeliveryState
    attempts: int
    outcome: str  # accepted, deferred, refused, undeliverable
    detail: str
    at: float
    duration_s: float
    next_attempt_at: float | None
    disables: bool
    target: str = ""
    queue_until: float | None = None  # its queue (endpoint and target) sends nothing before then
    sent_so_far: str = ""  # see `Deferred`
    queue_reason: str = ""  # the answer that asked for the wait; empty when the queue only keeps its order
    event: Event | None = None  # see `Accepted`
    ahead_s: float = 0.0  # how far the wall clock is ahead of `at`

    @property
    def wall_at(self) -> float:
        return self.at + self.ahead_s


def settle(
    delivery: Delivery,
    outcome: Outcome,
    *,
    plan: RetryPlan,
    now: float,
    duration_s: float,
    chance: float,
    ahead_s: float = 0.0,
) -> AttemptMade:
    """The consequences of one outcome. `now` is the instant after the attempt, by a clock that nobody sets; the wall
    clock is `ahead_s` ahead of it."""
    attempts = delivery.attempts + 1
    state, next_at, disables, queue_until, queue_reason = DeliveryState.WAITING, None, False, None, ""
    match outcome:
        case Accepted(summary=detail):
            state, word = DeliveryState.ACCEPTED, "accepted"
        case Deferred(reason=detail, retry_after_s=hint, delays_queue=delays_queue, is_unanswered=is_unanswered):
            word = "deferred"
            if not outcome.is_counted:
                attempts = delivery.attempts
            wait_s = retry_in_s(plan, attempts, retry_after_s=hint, chance=chance, is_unanswered=is_unanswered)
            if not outcome.is_counted and hint is not None:
                wait_s = hint * (1 + JITTER * chance)
            if wait_s is None:
                state = DeliveryState.DEAD
            else:
                next_at = now + wait_s
            if delays_queue and hint is not None:
                queue_until = now + plan.obeyed_s(hint) * (1 + JITTER * chance)  # the jitter of the delivery
                queue_reason = detail
        case Refused(reason=detail):
            # A delivery does not use up its retries while its endpoint is disabled, so this attempt is not counted.
            word, attempts, next_at, disables = "refused", delivery.attempts, now, True
        case Undeliverable(reason=detail):
            word, state = "undeliverable", DeliveryState.DEAD
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
        target=delivery.target,
        queue_until=queue_until,
        queue_reason=queue_reason,
        sent_so_far=(isinstance(outcome, Deferred) and outcome.sent_so_far) or delivery.sent_so_far,
        event=outcome.event if isinstance(outcome, Accepted) else None,
        ahead_s=ahead_s,
    )


def within(sizes: Iterable[tuple[int, int]], most_bytes: int) -> list[int]:
    """The numbers of the first bodies (number, length) whose total length is within the limit; at least one."""
    ids: list[int] = []
    for number, length in sizes:
        most_bytes -= length
        if ids and most_bytes < 0:
            break
        ids.append(number)
    return ids
