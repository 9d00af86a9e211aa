"""From observations to a hazard: the probability of finishing in the next second, at every age."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bridge.domain.durations.bins import EDGES, WIDTHS, age_at, bin_of, integral, summed
from bridge.domain.durations.table import Table

# The prior is a log-normal with the weight of one task, and with the median and spread of typical generation tasks.
MEDIAN_S: Final = 90.0
SPREAD: Final = 0.9  # standard deviation of the logarithm
SIMILAR_TASKS: Final = 4.0  # observations of similar tasks count as this many tasks
SMOOTH: Final = 8.0  # the log-normal shape counts as this many tasks when it is combined with the counts per bin
OUTLIERS: Final = 0.03  # share of tasks that are assumed to follow a much wider shape
OUTLIER_SPREAD: Final = 1.5
MAX_LOG_S: Final = 16.0  # the logarithm of 100 days in seconds; larger stored values are limited to this
MAX_VARIANCE: Final = 9.0
MAX_HAZARD: Final = 100.0
MIN_HAZARD: Final = 1e-7  # a hazard is never 0, so that tasks of every age are polled
PARTS: Final = tuple((number + 0.5) / 8 for number in range(8))  # quantiles of an uncertain finish time


@dataclass(frozen=True, slots=True)
class Fit:
    """The hazard per bin, its integral up to each edge, and the number of tasks that it is based on."""

    hazards: tuple[float, ...]
    sums: tuple[float, ...]
    count: int  # tasks of this kind that were observed to finish
    support: float  # observed tasks, of this kind and similar ones, that the fit is based on
    bias: float = 0.0  # for forecasts from progress: the mean and the spread of ln(actual / forecast remaining time)
    error: float = 0.5

    def hazard(self, age_s: float) -> float:
        """The probability per second of finishing at this age."""
        return self.hazards[bin_of(age_s)]

    def survival(self, from_s: float, to_s: float) -> float:
        """The probability that a task that still runs at one age also runs at a later age."""
        return math.exp(self._integral(from_s) - self._integral(max(to_s, from_s)))

    def quantile_s(self, from_s: float, probability: float) -> float:
        """The age at which a task that still runs at `from_s` has finished with this probability, in (0, 1)."""
        reached = self._integral(from_s) - math.log1p(-probability)
        return max(from_s, age_at(reached, self.hazards, self.sums))

    def between(self, from_s: float, to_s: float) -> list[float]:
        """Equally probable finish ages of a task that finished between two ages."""
        begun = self._integral(from_s)
        ended = -math.expm1(begun - self._integral(max(to_s, from_s)))
        if ended <= 1e-9:
            return [from_s + part * (to_s - from_s) for part in PARTS]
        ages_s = [age_at(begun - math.log1p(-part * ended), self.hazards, self.sums) for part in PARTS]
        return [from_s if age_s < from_s else to_s if age_s > to_s else age_s for age_s in ages_s]

    def _integral(self, age_s: float) -> float:
        return integral(max(0.0, age_s), self.hazards, self.sums)


def fit(own: Table, similar: Table | None = None) -> Fit:
    """The fit for `own` observations. If they are few, it also uses those of `similar` tasks, and then the prior."""
    shape = _Shape(median_log=math.log(MEDIAN_S), spread=SPREAD)
    if similar is not None and similar.moments.successes > 0:
        shape = shape.after(similar, most=SIMILAR_TASKS)
    shape = shape.after(own)
    masses, exposures_s = shape.bins()
    ends, seen_s = _spread(own.ends), own.exposure_s
    if similar is not None and similar.weight > 0:
        share = min(1.0, SIMILAR_TASKS / similar.weight) * SIMILAR_TASKS / (SIMILAR_TASKS + own.weight)
        ends = [mine + share * its for mine, its in zip(ends, _spread(similar.ends), strict=True)]
        seen_s = [mine + share * its for mine, its in zip(seen_s, similar.exposure_s, strict=True)]
    hazards = tuple(
        _within((SMOOTH * mass + end) / (SMOOTH * exposure_s + each_s), MIN_HAZARD, MAX_HAZARD)
        for mass, exposure_s, end, each_s in zip(masses, exposures_s, ends, seen_s, strict=True)
    )
    bias, error = _forecasting(own if similar is None or own.moments.forecasts >= 1 else similar)
    support = own.weight + (0.0 if similar is None else similar.weight)
    return Fit(hazards, summed(hazards), own.count, support, bias, error)


def _spread(ends: Sequence[float]) -> list[float]:
    """The finished tasks per bin, smoothed: a quarter of them moves to each side, because 30 tasks are few for 52
    bins."""
    return [
        (left + 2 * middle + right) / 4
        for left, middle, right in zip([0.0, *ends[:-1]], ends, [*ends[1:], 0.0], strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A belief about the median and spread of a log-normal (normal-inverse-gamma), as its predictive log-normal.
    `weight` is in tasks."""

    median_log: float
    spread: float
    weight: float = 1.0

    def after(self, seen: Table, *, most: float = math.inf) -> _Shape:
        """The belief after these observations, which count as at most `most` tasks."""
        successes, log_sum, log_squares, *_ = seen.moments
        if successes <= 0:
            return self
        number = min(successes, most)
        mean = _within(log_sum / successes, -1.0, MAX_LOG_S)
        variance = _within(log_squares / successes - mean * mean, 0.0, MAX_VARIANCE)
        weight = self.weight + number
        median_log = (self.weight * self.median_log + number * mean) / weight
        apart = mean - self.median_log
        squares = self.weight * self.spread**2 + number * variance + self.weight * number / weight * apart * apart
        return _Shape(median_log=median_log, spread=math.sqrt(squares / weight), weight=weight)

    def bins(self) -> tuple[list[float], list[float]]:
        """The probability of finishing in each bin, and the expected running seconds there."""
        spread = max(self.spread, 0.05) * math.sqrt(1 + 1 / self.weight)
        alive = [
            (1 - OUTLIERS) * _beyond(edge_s, self.median_log, spread)
            + OUTLIERS * _beyond(edge_s, self.median_log, spread + OUTLIER_SPREAD)
            for edge_s in EDGES
        ]
        masses = [left - right for left, right in pairwise(alive)]
        exposures_s = [width * (left + right) / 2 for width, left, right in zip(WIDTHS, alive, alive[1:], strict=False)]
        return [*masses, alive[-1]], [*exposures_s, max(alive[-1], 1e-9) * EDGES[-1]]


def _beyond(age_s: float, median_log: float, spread: float) -> float:
    if age_s <= 0:
        return 1.0
    return 0.5 * math.erfc((math.log(age_s) - median_log) / (spread * math.sqrt(2)))


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def _forecasting(seen: Table) -> tuple[float, float]:
    """Mean and spread of the forecast errors, with a prior that weighs as much as two forecasts."""
    *_, forecasts, error_sum, error_squares = seen.moments
    weight = max(forecasts, 0.0) + 2
    bias = _within(error_sum / weight, -3.0, 3.0)
    squares = max(0.0, error_squares - error_sum * bias) + 2 * 0.5**2
    return bias, _within(math.sqrt(squares / weight), 0.1, 3.0)
