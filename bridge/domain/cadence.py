"""When to poll a watch next, whatever its last answer was.

All being well the learned cadence says when (`domain/durations`); with `cadence: fixed` it is a tenth of the watch's
age, so that the delay stays in proportion to the wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, assert_never

from bridge.domain.backoff import growing_s
from bridge.domain.limits import PROBE_FIRST_S, PROBE_MOST_S
from bridge.domain.task import Kind
from bridge.domain.watch import LACKING_OVER_S, Memory, Pace, Rules

SHARE_OF_AGE: Final = 0.1
TROUBLE_MOST_S: Final = 60.0  # a provider that was down is asked again within a minute of its return
SOON_S: Final = 0.05  # rounding must not make a wait for an instant end just before it, again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Bounds of the wait between two polls of one watch, in seconds; whether it is learned within them, and how many
    requests a task may take in the mean (None: what is sensible)."""

    min_interval_s: float = 2.0
    max_interval_s: float = 300.0
    learned: bool = True
    budget: float | None = None


def next_poll_in_s(
    memory: Memory,
    pace: Pace,
    *,
    now: float,
    age_s: float,
    pacing: Pacing,
    rules: Rules,
    chance: float,
    learned: tuple[float, str] | None = None,
) -> tuple[float, str]:
    """Seconds until the next poll, and why, in words for `explain`. `chance` in [0, 1) spreads equal waits. `learned`
    is both by what has been learned, for when all is well.

    No wait goes beyond the instant when the watch is given up, so that this is told in time.
    """
    match pace:
        case Pace.STEADY if learned is not None:
            wait_s, why = learned
        case Pace.STEADY:
            wait_s = min(max(age_s * SHARE_OF_AGE, pacing.min_interval_s), pacing.max_interval_s)
            why = f"a tenth of its age ({age_s:.0f} s), within min_interval and max_interval"
        case Pace.SLOW:
            wait_s, why = pacing.max_interval_s, "the task waits for a person"
        case Pace.BACKOFF | Pace.TROUBLE:
            most_s = min(pacing.max_interval_s, TROUBLE_MOST_S if pace is Pace.TROUBLE else math.inf)
            wait_s = growing_s(memory.failures, first_s=pacing.min_interval_s, most_s=most_s, chance=chance)
            why = f"backing off after {memory.failures} unusable answers in a row"
        case Pace.DOUBT:
            wait_s, why = _doubt_s(memory, now, pacing, rules, chance)
        case Pace.ACCOUNT:
            wait_s, why = pacing.min_interval_s, "the account is held back; asked again when it opens"
        case Pace.REFUSED:
            # Not bounded by give_up_after: a blocked account's tasks do not age.
            wait_s = growing_s(memory.failures, first_s=PROBE_FIRST_S, most_s=PROBE_MOST_S, chance=chance)
            return wait_s, "the account was refused; asked again when it opens"
        case Pace.OVER:
            raise ValueError("a watch that has ended is not polled")
        case _:
            assert_never(pace)
    left_s = rules.give_up_after_s - age_s
    if 0 < left_s < wait_s:
        return max(left_s, SOON_S), "its time is over then (give_up_after)"
    return wait_s, why


def _doubt_s(memory: Memory, now: float, pacing: Pacing, rules: Rules, chance: float) -> tuple[float, str]:
    """Soon at first (a fresh id may lag), growing, and once at the instant the answer may be believed."""
    doubt = memory.doubt
    if doubt is None:
        raise ValueError("a doubtful pace needs a doubt")
    over_s = LACKING_OVER_S if doubt.kind is Kind.AMBIGUOUS else rules.not_found_over_s
    wait_s = growing_s(doubt.answers, first_s=pacing.min_interval_s, most_s=pacing.max_interval_s, chance=chance)
    left_s = doubt.since_at + over_s - now
    if left_s > 0:
        wait_s = min(wait_s, max(left_s, SOON_S))
    return (
        wait_s,
        f'"{doubt.kind}" answered {doubt.answers} times; believed only when repeated over {over_s:g} s',
    )
