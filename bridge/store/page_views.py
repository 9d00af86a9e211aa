"""The values that the status page reads from a store."""

from __future__ import annotations

from typing import Final, NamedTuple

COUNTED: Final = 10_000  # counts are exact up to here


class BoundedCount(NamedTuple):
    """How many there are. `is_more`: there are more, nobody has counted on."""

    number: int
    is_more: bool


class FinishedIn(NamedTuple):
    """How many tasks came to one phase within one quarter of an hour. `quarter` counts quarters since the epoch."""

    quarter: int
    phase: str
    tasks: int


class UndeliveredAt(NamedTuple):
    """The deliveries to one endpoint that were given up: how many, when the first and the last, after how many attempts
    the last was, and what it was answered."""

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
    """A waiting delivery, when it is tried again (None: nobody knows), and when the task's results will be gone."""

    endpoint: str
    account: str
    task_id: str
    next_attempt_at: float | None
    gone_at: float


class LiveWatch(NamedTuple):
    """What is needed to estimate when a running task finishes."""

    watch_id: int
    account: str
    action: str | None
    added_at: float


class StoreSpace(NamedTuple):
    """How large a store is, and how much room there is on its disk (None: it is on a server)."""

    size_bytes: int
    free_bytes: int | None = None
    disk_bytes: int | None = None
