"""When to poll a watch next, after any kind of answer.

After a normal answer the learned cadence decides (`domain/durations`). With `cadence: fixed` the wait is a tenth of the
watch's age, so that the delay stays in proportion to the task's duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, assert_never

from bridge.domain.backoff import growing_s
from bridge.domain.rate_limiter import PROBE_FIRST_S, PROBE_MOST_S
from bridge.domain.task import ReadingKind
from bridge.domain.watch import LACKING_OVER_S, Memory, Rules, Spacing

INTERVAL: Final = "; time between polls: "  # in a reason for `explain`: the wait follows
SHARE_OF_AGE: Final = 0.1
TROUBLE_MOST_S: Final = 60.0  # after an outage, polling resumes within a minute
SOON_S: Final = 0.05  # a shorter wait could, by rounding, end just before its target time again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Limits of the wait between two polls of one watch, in seconds. With `learned`, the learned cadence chooses the
    wait within them. `budget` is the mean number of requests for a task (None: the default trade-off)."""

    min_interval_s: float = 2.0
    max_interval_s: float = 300.0
    learned: bool = True
    budget: float | None = None


def next_poll_in_s(
    memory: Memory,
    spacing: Spacing,
    *,
    now: float,
    age_s: float,
    pacing: Pacing,
    rules: Rules,
    chance: float,
    learned: tuple[float, str] | None = None,
) -> tuple[float, str]:
    """Seconds until the next poll, and the reason for `explain`.

    `chance` in [0, 1) spreads equal waits. `learned` is the wait and the reason of the learned cadence. No wait is
    longer than the time until the task times out, so that the time-out is noticed on time.
    """
    match spacing:
        case Spacing.STEADY if learned is not None:
            wait_s, why = learned
        case Spacing.STEADY:
            wait_s = min(max(age_s * SHARE_OF_AGE, pacing.min_interval_s), pacing.max_interval_s)
            why = f"a tenth of its age ({age_s:.0f} s), within min_interval and max_interval"
        case Spacing.SLOW:
            wait_s, why = pacing.max_interval_s, "the task waits for a person"
        case Spacing.BACKOFF | Spacing.TROUBLE:
            most_s = min(pacing.max_interval_s, TROUBLE_MOST_S if spacing is Spacing.TROUBLE else math.inf)
            wait_s = growing_s(memory.failures, first_s=pacing.min_interval_s, most_s=most_s, chance=chance)
            answers = f"{memory.failures} unusable answers in a row" if memory.failures > 1 else "an unusable answer"
            why = f"backoff after {answers}"
        case Spacing.DOUBT:
            wait_s, why = _doubt_s(memory, now, pacing, rules, chance)
        case Spacing.ACCOUNT:
            wait_s = pacing.min_interval_s
            why = "the account must slow down; polled again as soon as its limiter allows"
        case Spacing.REFUSED:
            # Not limited by give_up_after: the tasks of a blocked account do not age.
            wait_s = growing_s(memory.failures, first_s=PROBE_FIRST_S, most_s=PROBE_MOST_S, chance=chance)
            return wait_s, "the provider rejected the account; polled again when its block ends"
        case Spacing.OVER:
            raise ValueError("a finished watch is not polled")
        case _:
            assert_never(spacing)
    left_s = rules.give_up_after_s - age_s
    if 0 < left_s < wait_s:
        return max(left_s, SOON_S), "the last poll before the time-out (give_up_after)"
    return wait_s, why


def _doubt_s(memory: Memory, now: float, pacing: Pacing, rules: Rules, chance: float) -> tuple[float, str]:
    """The wait while an answer is in doubt, with its reason. Usually it is short at first, because a new id may not be
    known everywhere yet; not if earlier answers were unusable, too. Then it grows, but never beyond the time at which
    the answer can be accepted."""
    doubt = memory.doubt
    if doubt is None:
        raise ValueError("Spacing.DOUBT needs a doubt")
    over_s = LACKING_OVER_S if doubt.kind is ReadingKind.AMBIGUOUS else rules.not_found_over_s
    repeats = doubt.answers if doubt.answers > 1 else max(1, memory.failures)
    wait_s = growing_s(repeats, first_s=pacing.min_interval_s, most_s=pacing.max_interval_s, chance=chance)
    left_s = doubt.since_at + over_s - now
    if left_s > 0:
        wait_s = min(wait_s, max(left_s, SOON_S))
    answers = "1 answer was" if doubt.answers == 1 else f"{doubt.answers} answers were"
    return wait_s, f'{answers} read as "{doubt.kind}"; genbridge accepts this only if it repeats for {over_s:g} s'
