"""The number c of one account: how much promptness is worth, in polls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bridge.domain.durations.fit import Fit
from bridge.domain.durations.rhythm import COLD, Bounds, expected_polls, rhythm

WORTH: Final = 0.5  # without a budget; tasks of 1, 3 and 7 minutes: 7, 15 and 26 polls, told after 4, 6 and 8 s
LEAST: Final = 0.005
MOST: Final = 50.0
SLOWLY: Final = 0.03  # how far one task's polls move the correction
FURTHEST: Final = math.log(3.0)  # the correction, either way
AFRESH: Final = 8  # ends between two reckonings


class Budget:
    """Says what promptness is worth so that tasks take `polls` requests in the mean, the first one counted; `polls` of
    None: what is sensible. Mutable, clockless.

    What the fits lead one to expect gives the start; what tasks really took corrects it, slowly.
    """

    def __init__(self, polls: float | None, *, bounds: Bounds) -> None:
        self.polls = polls
        self.bounds = bounds
        self._reckoned = WORTH
        self._correction = 0.0
        self._ends = 0
        self._due_at_ends = 0

    @property
    def worth(self) -> float:
        """c."""
        if self.polls is None:
            return WORTH
        return min(max(self._reckoned * math.exp(self._correction), LEAST), MOST)

    @property
    def is_due(self) -> bool:
        """Whether `reckon` should be called: the fits may have changed."""
        return self.polls is not None and self._ends >= self._due_at_ends

    def spent(self, requests: float) -> None:
        """A task ended that took so many requests; one about many tasks counts as so much less for each."""
        if self.polls is None:
            return
        self._ends += 1
        error = min(max((self.polls - requests) / self.polls, -1.0), 1.0)
        self._correction = min(max(self._correction + SLOWLY * error, -FURTHEST), FURTHEST)

    def reckon(self, fits: Sequence[tuple[Fit, float]]) -> None:
        """Find the worth at which tasks of these kinds, with their shares, are expected to take that many polls. While
        hardly anything is known of them it stays what it is."""
        if self.polls is None or sum(fit.support for fit, _ in fits) < COLD:
            return
        self._due_at_ends = self._ends + AFRESH
        wanted = max(self.polls - 1.0, 0.1)
        total = sum(share for _, share in fits)
        low, high = math.log(LEAST), math.log(MOST)
        for _ in range(14):
            worth = math.exp((low + high) / 2)
            polls = sum(
                share * expected_polls(fit, rhythm(fit, worth=worth, bounds=self.bounds)) for fit, share in fits
            )
            if polls > wanted * total:
                high = math.log(worth)
            else:
                low = math.log(worth)
        self._reckoned = math.exp((low + high) / 2)
