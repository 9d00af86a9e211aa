"""From a hazard to the next poll of one watch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.domain.durations.bins import WIDTHS, age_at, integral, summed
from bridge.domain.durations.fit import Fit

COLD: Final = 3.0  # until this many tasks of this kind, or similar ones, were observed to finish ...
COLD_SHARE: Final = 0.2  # ... no wait is longer than (this / worth) x age: the prior may be far from the truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    min_s: float
    max_s: float

    def rate(self, rate: float) -> float:
        """A rate in polls per second within the bounds."""
        return min(max(rate, 1 / self.max_s), 1 / self.min_s)

    def wait_s(self, wait_s: float) -> float:
        return min(max(wait_s, self.min_s), self.max_s)


@dataclass(frozen=True, slots=True)
class PollRate:
    """The poll rate at every age, and its integral. Made once per fit."""

    rates: tuple[float, ...]
    sums: tuple[float, ...]
    bounds: Bounds
    most_of_age: float | None  # the longest wait as a multiple of the age

    def next_in_s(self, age_s: float) -> float:
        """Seconds from this age until the integral of the rate reaches 1.

        This is not 1 / (the current rate), which would be far too long near age 0.
        """
        age_s = max(0.0, age_s)
        total = integral(age_s, self.rates, self.sums) + 1.0
        wait_s = age_at(total, self.rates, self.sums) - age_s
        if self.most_of_age is not None:
            wait_s = min(wait_s, age_s * self.most_of_age)
        return self.bounds.wait_s(wait_s)


def poll_rate(fit: Fit, *, worth: float, bounds: Bounds) -> PollRate:
    """r = worth x h^(1/3), within the bounds."""
    rates = tuple(bounds.rate(worth * hazard ** (1 / 3)) for hazard in fit.hazards)
    most_of_age = COLD_SHARE / worth if fit.support < COLD else None
    return PollRate(rates, summed(rates), bounds, most_of_age)


def expected_polls(fit: Fit, rate: PollRate) -> float:
    """The mean number of polls of such a task, after the first one."""
    alive = [math.exp(-each) for each in fit.sums]
    inside = sum(
        rate * width * (left + right) / 2
        for rate, width, left, right in zip(rate.rates, WIDTHS, alive, alive[1:], strict=False)
    )
    return inside + rate.rates[-1] * alive[-1] / fit.hazards[-1]


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
