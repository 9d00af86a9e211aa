"""When to poll many tasks with one request: one rate from all their hazards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.domain.durations.fit import Fit
from bridge.domain.durations.poll_rate import COLD, COLD_SHARE, Bounds

GROWTH: Final = 1.5  # factor from one integration step to the next
SHARED: Final = 0.55  # relative worth of a request about many tasks; their waits are short anyway


def together_in_s(members: Sequence[tuple[Fit, float]], *, worth: float, bounds: Bounds) -> float:
    """Seconds until the next request about these tasks. Each comes with its age.

    The rate is c (sum of hazards)^(1/3), where c is about half the worth: a request costs the same for one task and for
    all. With many tasks the sum hardly changes, and the result is a fixed interval.
    """
    reached, walked_s, step_s = 0.0, 0.0, bounds.min_s
    most_s = min((COLD_SHARE / worth * age_s for fit, age_s in members if fit.support < COLD), default=bounds.max_s)
    while walked_s < most_s:
        middle_s = walked_s + step_s / 2
        hazard = sum(fit.hazard(age_s + middle_s) for fit, age_s in members)
        rate = bounds.rate(SHARED * worth * hazard ** (1 / 3))
        if reached + rate * step_s >= 1.0:
            return bounds.wait_s(min(walked_s + (1.0 - reached) / rate, most_s))
        reached += rate * step_s
        walked_s += step_s
        step_s *= GROWTH
    return bounds.wait_s(most_s)
