"""The values that the status page reads from a store."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.views import DeliveryView

COUNTED: Final = 10_000  # counts are exact up to this number
FULL_BYTES: Final = 20 << 20  # with less free space, the store may soon be unable to commit
LEAST_BYTES: Final = 256 << 20  # a disk is nearly full if less than this is free, or less than ...
LOW_BYTES: Final = 2 << 30  # ... this and at the same time less than ...
LOW_SHARE: Final = 0.05  # ... this share of the disk


class BoundedCount(NamedTuple):
    """A count with a limit. `is_more`: counting stopped at the limit."""

    number: int
    is_more: bool


class FinishedIn(NamedTuple):
    """How many tasks reached one final phase within one quarter of an hour. `quarter` counts quarters since the
    epoch."""

    quarter: int
    phase: str
    tasks: int


class DeadDeliveries(NamedTuple):
    """The dead deliveries to one endpoint: their number, the times of the first and the last, and the attempts and the
    answer of the last."""

    endpoint: str
    deliveries: int
    first_at: float
    last_at: float
    attempts: int
    detail: str


class DisabledSince(NamedTuple):
    """An endpoint that answered 410."""

    endpoint: str
    disabled_at: float
    reason: str


class ExpiringResult(NamedTuple):
    """A waiting delivery, its next attempt (None: unknown), and when the task's results will be gone."""

    endpoint: str
    account: str
    task_id: str
    next_attempt_at: float | None
    gone_at: float


class LiveWatch(NamedTuple):
    """The values for estimating when a running task finishes."""

    watch_id: int
    account: str
    action: str | None
    added_at: float


class StoreSpace(NamedTuple):
    """The size of a store, and the size and free space of its disk (None: the store is on a server)."""

    size_bytes: int
    free_bytes: int | None = None
    disk_bytes: int | None = None

    @property
    def is_nearly_full(self) -> bool:
        free, whole = self.free_bytes, self.disk_bytes
        if free is None or whole is None:
            return False
        return free < LEAST_BYTES or (free < LOW_BYTES and free < LOW_SHARE * whole)


class DeliveryGroup(StrEnum):
    """The group of a delivery on the page, the worst first, which is the order of the page."""

    DEAD = "dead"  # given up
    OFF = "off"  # it waits until its endpoint is enabled or resumed
    WAITING = "waiting"
    ACCEPTED = "accepted"
    CANCELED = "canceled"  # the task finished first

    @classmethod
    def of(cls, state: DeliveryState, *, is_off: bool) -> DeliveryGroup:
        """The group of a delivery in this state. `is_off`: its endpoint is disabled or paused."""
        return cls.OFF if is_off and state is DeliveryState.WAITING else cls(str(state))


NOT_ACCEPTED: Final = (DeliveryGroup.DEAD, DeliveryGroup.OFF, DeliveryGroup.WAITING)


class DeliverySearch(NamedTuple):
    """The deliveries that match all given values. `since` is a time of creation. `text` is the id of an event, or the
    beginning of a task's id, ACCOUNT/ID or label."""

    groups: tuple[DeliveryGroup, ...] = NOT_ACCEPTED
    endpoint: str | None = None
    topic: str | None = None
    since: float | None = None
    text: str | None = None


class DeliveryMark(NamedTuple):
    """The position of a page of deliveries: it begins after the delivery with this group, time and id."""

    group: DeliveryGroup
    settled_at: float
    delivery_id: int


class DeliveryGroupPage(NamedTuple):
    """One page of deliveries, the worst first, each with its group. `next_after` is the `after` of the next page; None:
    this is the last."""

    views: Sequence[tuple[DeliveryGroup, DeliveryView]]
    next_after: DeliveryMark | None
