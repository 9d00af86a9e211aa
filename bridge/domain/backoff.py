"""When to try again after failure: growing, capped, and the other side's own hint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER_S: Final = 3600.0  # a provider may ask for at most an hour of silence
JITTER: Final = 0.2  # only ever added, so that a promised wait is never cut short


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """Steps between attempts, in seconds; attempts in all = 1 + the number of steps."""

    steps_s: tuple[float, ...]

    @property
    def longest_s(self) -> float:
        """No attempt lies further ahead than this."""
        return max(self.steps_s, default=0.0) * (1 + JITTER)


def retry_in_s(plan: RetryPlan, attempts: int, *, retry_after_s: float | None, chance: float) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones; None when the plan is used up.

    A receiver's Retry-After replaces the step when it is later, capped at the plan's longest step.
    """
    if attempts > len(plan.steps_s):
        return None
    wait_s = plan.steps_s[attempts - 1]
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, max(plan.steps_s)))
    return wait_s * (1 + JITTER * chance)


def growing_s(failures: int, *, first_s: float, most_s: float, chance: float) -> float:
    """Exponential backoff after `failures` in a row: `first_s` doubled each time, at most `most_s`, spread over
    its upper half so that many watches do not return at one instant."""
    ceiling = min(most_s, first_s * 2.0 ** min(failures - 1, 32))
    return max(min(first_s, most_s), ceiling * (0.5 + 0.5 * chance))


def parse_retry_after(value: str | None, *, date: str | None, most_s: float = MAX_RETRY_AFTER_S) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number, or a date read against the answer's own
    `Date` so that neither clock matters. None for anything unusable: text, negative, nothing; never over `most_s`
    (an hour for a provider; a receiver's is capped by its plan of retries).
    """
    if value is None:
        return None
    try:
        wait_s = float(value)
    except ValueError:
        wait_s = _until_s(value, date)
    return min(wait_s, most_s) if wait_s >= 0 else None


def _until_s(value: str, date: str | None) -> float:
    if date is None:
        return math.nan
    try:
        return (_instant(value) - _instant(date)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan


def _instant(text: str) -> datetime:
    """All three forms of an HTTP date are UTC, though the oldest does not say so."""
    at = parsedate_to_datetime(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
