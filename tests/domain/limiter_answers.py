"""Answers for a rate limiter, and functions that call it."""

from __future__ import annotations

from bridge.domain.rate_limiter import AccountEffect, RateLimiter, RateLimits
from bridge.domain.task import Reading, ReadingKind
from tests.factories import NOW, make_reading

GOOD = make_reading(ReadingKind.RUNNING)
REFUSED = make_reading(ReadingKind.AUTH_ERROR, detail="401")
DOWN = make_reading(ReadingKind.TRANSIENT, detail="500", server_trouble=True)
GARBAGE = make_reading(ReadingKind.TRANSIENT, detail="not JSON")
UNSENT = make_reading(ReadingKind.AMBIGUOUS, detail="not sent: the action is unknown", is_unsent=True)
LIMITED = make_reading(ReadingKind.RATE_LIMITED)


def make_limiter(*, rate: float = 10.0, burst: int = 20, concurrency: int = 16) -> RateLimiter:
    return RateLimiter(RateLimits(rate=rate, burst=burst, concurrency=concurrency), now=NOW)


def ask(limiter: RateLimiter, reading: Reading, *, at: float = 0.0, task: str = "task-1") -> AccountEffect:
    """Send one request that is answered at once."""
    assert limiter.wait_s(NOW + at) == 0
    limiter.take(NOW + at)
    return limiter.answered(reading, task_id=task, now=NOW + at, chance=0.0).account


def wait(limiter: RateLimiter, *, at: float = 0.0) -> float:
    return round(limiter.wait_s(NOW + at), 5)
