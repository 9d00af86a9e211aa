"""When to retry after a failure: waits that grow up to a maximum, and Retry-After."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MAX_RETRY_AFTER_S: Final = 3600.0  # the longest wait that a provider can ask for
UNANSWERED_S: Final = 300.0  # minimum wait if there was no answer: the receiver may still be handling the request
JITTER: Final = 0.2  # only added, so that no wait is shorter than promised


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """The waits between attempts, in seconds. There is one attempt more than there are steps."""

    steps_s: tuple[float, ...]

    @property
    def longest_s(self) -> float:
        """The longest wait until the next attempt."""
        return max((UNANSWERED_S, *self.steps_s)) * (1 + JITTER)

    @property
    def most_wait_s(self) -> float:
        """The longest time for which a receiver can pause its queue."""
        return self.obeyed_s(math.inf) * (1 + JITTER)

    def obeyed_s(self, retry_after_s: float) -> float:
        """The wait when a receiver asks for `retry_after_s`: at most the longest step."""
        return min(retry_after_s, max(self.steps_s, default=MAX_RETRY_AFTER_S))


def retry_in_s(
    plan: RetryPlan, attempts: int, *, retry_after_s: float | None, chance: float, is_unanswered: bool = False
) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones; None when no attempts are left.

    A longer Retry-After replaces the step, up to the plan's longest step. After a request without an answer the wait is
    at least `UNANSWERED_S`.
    """
    if attempts > len(plan.steps_s):
        return None
    wait_s = plan.steps_s[attempts - 1]
    if retry_after_s is not None:
        wait_s = max(wait_s, plan.obeyed_s(retry_after_s))
    if is_unanswered:
        wait_s = max(wait_s, UNANSWERED_S)
    return wait_s * (1 + JITTER * chance)


def growing_s(failures: int, *, first_s: float, most_s: float, chance: float) -> float:
    """Exponential backoff after `failures` in a row: `first_s` doubled each time, at most `most_s`.

    The wait is spread over its upper half, so that many watches are not polled at the same instant.
    """
    ceiling = min(most_s, first_s * 2.0 ** min(failures - 1, 32))
    return max(min(first_s, most_s), ceiling * (0.5 + 0.5 * chance))


def parse_retry_after(value: str | None, *, date: str | None, most_s: float = MAX_RETRY_AFTER_S) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), at most `most_s`; None if the header cannot be used.

    A date is compared with the answer's own `Date`, so that the local clock does not matter. The default maximum is for
    providers; a receiver's wait is limited by its `RetryPlan`.
    """
    if value is None:
        return None
    try:
        wait_s = max(map(float, value.split(",")))  # a header that was sent twice may arrive joined
    except ValueError:
        wait_s = _until_s(value, date)
    return min(wait_s, most_s) if wait_s >= 0 else None


def _until_s(value: str, date: str | None) -> float:
    if date is None:
        return math.nan
    try:
        return (http_instant(value) - http_instant(date)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan


def http_instant(text: str) -> datetime:
    """Parse an HTTP date. All three syntaxes are UTC, although the oldest does not say so."""
    from email.utils import parsedate_to_datetime  # imported here, because quick commands do not need it

    at = parsedate_to_datetime(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
