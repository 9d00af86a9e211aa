"""From a hazard to the next poll of one watch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bridge.domain.durations.bins import WIDTHS, age_at, integral, summed
from bridge.domain.durations.fit import Fit

COLD: Final = 3.0  # until so many ends of this kind, or its kin, have been seen ...
COLD_SHARE: Final = 0.2  # ... no wait is longer than this / worth times the age: the prior may be far off


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """No wait is below `min_s` or above `max_s`."""

    min_s: float
    max_s: float

    def rate(self, rate: float) -> float:
        """Polls per second that keep to them."""
        return min(max(rate, 1 / self.max_s), 1 / self.min_s)

    def wait_s(self, wait_s: float) -> float:
        """A wait that keeps to them, whatever rounding did to it."""
        return min(max(wait_s, self.min_s), self.max_s)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The poll rate for every age, and its integral: made once per fit."""

    rates: tuple[float, ...]
    sums: tuple[float, ...]
    bounds: Bounds
    most_of_age: float | None  # no wait is longer than so many times the age

    def next_in_s(self, age_s: float, part: float = 1.0) -> float:
        """Seconds from this age until the walked sum of the rate reaches `part`.

        Never 1 / rate of the present: near age 0 that would jump over everything.
        """
        age_s = max(0.0, age_s)
        total = integral(age_s, self.rates, self.sums) + part
        wait_s = age_at(total, self.rates, self.sums) - age_s
        if self.most_of_age is not None:
            wait_s = min(wait_s, age_s * self.most_of_age)
        return self.bounds.wait_s(wait_s)


def rhythm(fit: Fit, *, worth: float, bounds: Bounds) -> Rhythm:
    """r = worth x h^(1/3), within the bounds."""
    rates = tuple(bounds.rate(worth * hazard ** (1 / 3)) for hazard in fit.hazards)
    most_of_age = COLD_SHARE / worth if fit.support < COLD else None
    return Rhythm(rates, summed(rates), bounds, most_of_age)


def expected_polls(fit: Fit, rhythm: Rhythm) -> float:
    """How many polls, after the first one at once, a task of this kind takes in the mean."""
    alive = [math.exp(-each) for each in fit.sums]
    inside = sum(
        rate * width * (left + right) / 2
        for rate, width, left, right in zip(rhythm.rates, WIDTHS, alive, alive[1:], strict=False)
    )
    return inside + rhythm.rates[-1] * alive[-1] / fit.hazards[-1]
