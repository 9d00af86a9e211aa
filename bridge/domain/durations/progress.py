"""How a provider's progress changes the hazard. It is never used alone: some providers report 0 % until the task
finishes, some stop at 99 %, some go back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bridge.domain.durations.fit import Fit
from bridge.domain.durations.poll_rate import Bounds

TRUST: Final = 0.8  # share of the progress forecast in the hazard; the rest comes from durations
LEAST: Final = 1.0  # percent; lower progress is not used
STEPS: Final = 0.15  # integration steps, as a share of the time so far


@dataclass(frozen=True, slots=True)
class ProgressTrend:
    """The progress of a task: the start of the extrapolation, and the last change. Times are ages."""

    from_s: float
    from_percent: float
    to_s: float
    to_percent: float

    def rest_s(self, age_s: float) -> float | None:
        """The remaining time according to progress alone; None without usable progress.

        While progress does not change, the remaining time first shrinks and then grows.
        """
        gained = self.to_percent - self.from_percent
        if gained < LEAST or self.to_s <= self.from_s or self.to_percent >= 100:
            return None
        still_s = max(0.0, age_s - self.to_s)
        rest_s = (100 - self.to_percent) * (self.to_s - self.from_s) / gained
        return max(rest_s - still_s, still_s / 2, 0.1)


def trend_after(
    trend: ProgressTrend | None, percent: float | None, *, polled_s: float, age_s: float
) -> ProgressTrend | None:
    """The progress after a poll at `age_s`; the previous poll was at `polled_s`."""
    if percent is None or not 0 <= percent <= 100:
        return trend
    if trend is None:
        return ProgressTrend(polled_s, 0.0, age_s, percent) if percent >= LEAST else None
    if percent < trend.to_percent:
        return ProgressTrend(age_s, percent, age_s, percent)
    if percent == trend.to_percent:
        return trend
    return ProgressTrend(trend.from_s, trend.from_percent, age_s, percent)


def next_by_progress_in_s(fit: Fit, *, age_s: float, rest_s: float, worth: float, bounds: Bounds) -> float:
    """Seconds until the next poll of a task whose progress predicts that it finishes in `rest_s`.

    The hazard is that of a mixture: the learned durations, and a log-normal around the prediction, with the bias and
    spread of earlier predictions for this kind.
    """
    median_log, width = math.log(rest_s) + fit.bias, fit.error * math.sqrt(2)
    reached, walked_s, alive = 0.0, 0.0, 1.0
    while True:  # ends by `bounds.max_s` or one step later, because the rate has a minimum
        step_s = max(bounds.min_s / 2, walked_s * STEPS)
        there_s = walked_s + step_s
        by_progress = 0.5 * math.erfc((math.log(there_s) - median_log) / width)
        later = TRUST * by_progress + (1 - TRUST) * fit.survival(age_s, age_s + there_s)
        hazard = math.log(max(alive, 1e-12) / max(later, 1e-12)) / step_s
        rate = bounds.rate(worth * max(hazard, 0.0) ** (1 / 3))
        if reached + rate * step_s >= 1.0:
            return bounds.wait_s(walked_s + (1.0 - reached) / rate)
        reached, walked_s, alive = reached + rate * step_s, there_s, later
