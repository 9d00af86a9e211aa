"""When to ask next about many tasks at once: one request for all, so one rate from all their hazards."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.durations.fit import Fit
from bridge.domain.durations.rhythm import Bounds

GROWTH = 1.5  # of the steps of the walk


def together_in_s(members: Sequence[tuple[Fit, float]], *, worth: float, bounds: Bounds) -> float:
    """Seconds until the next request about these tasks, each with its age.

    The rate is worth x (sum of hazards)^(1/3): a request costs the same for one and for all. With many in flight the
    sum hardly moves, and the walk gives a fixed interval.
    """
    reached, walked_s, step_s = 0.0, 0.0, bounds.min_s
    while walked_s < bounds.max_s:
        middle_s = walked_s + step_s / 2
        hazard = sum(fit.hazard(age_s + middle_s) for fit, age_s in members)
        rate = bounds.rate(worth * hazard ** (1 / 3))
        if reached + rate * step_s >= 1.0:
            return bounds.wait_s(walked_s + (1.0 - reached) / rate)
        reached += rate * step_s
        walked_s += step_s
        step_s *= GROWTH
    return bounds.max_s
