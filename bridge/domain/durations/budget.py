"""The weight c of one account: how many extra polls a faster notification is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bridge.domain.durations.fit import Fit
from bridge.domain.durations.poll_rate import COLD, Bounds, expected_polls, poll_rate

WORTH: Final = 0.5  # without a budget; tasks of 1, 3 and 7 minutes take 7, 15 and 26 polls, with delays of 4, 6 and 8 s
LEAST: Final = 0.005
MOST: Final = 50.0
CORRECTION_STEP: Final = 0.03  # how far one task changes the correction
MAX_CORRECTION: Final = math.log(3.0)  # the largest correction, up or down
RECALCULATE_EVERY: Final = 8  # finished tasks between two calculations


class Budget:
    """Finds the worth for which tasks take `polls` requests on average, including the first. With `polls` None the
    worth is `WORTH`. Mutable; reads no clock.

    It starts with the value that the fits predict, and slowly corrects it by the number of requests that tasks really
    took.
    """

    def __init__(self, polls: float | None, *, bounds: Bounds) -> None:
        self.polls = polls
        self.bounds = bounds
        self._calculated = WORTH
        self._correction = 0.0
        self._ends = 0
        self._due_at_ends = 0

    @property
    def worth(self) -> float:
        """The number c."""
        if self.polls is None:
            return WORTH
        return min(max(self._calculated * math.exp(self._correction), LEAST), MOST)

    @property
    def is_due(self) -> bool:
        """Whether to call `recalculate`, because the fits may have changed."""
        return self.polls is not None and self._ends >= self._due_at_ends

    def spent(self, requests: float) -> None:
        """A task finished after this many requests. A request about n tasks counts as 1/n."""
        if self.polls is None:
            return
        self._ends += 1
        error = min(max((self.polls - requests) / self.polls, -1.0), 1.0)
        self._correction = min(max(self._correction + CORRECTION_STEP * error, -MAX_CORRECTION), MAX_CORRECTION)

    def recalculate(self, fits: Sequence[tuple[Fit, float]]) -> None:
        """Find the worth for which tasks of these kinds, weighted by their shares, take `polls` requests. It stays the
        same while too little is known about them."""
        if self.polls is None or sum(fit.support for fit, _ in fits) < COLD:
            return
        self._due_at_ends = self._ends + RECALCULATE_EVERY
        wanted = max(self.polls - 1.0, 0.1)
        total = sum(share for _, share in fits)
        low, high = math.log(LEAST), math.log(MOST)
        for _ in range(14):
            worth = math.exp((low + high) / 2)
            polls = sum(
                share * expected_polls(fit, poll_rate(fit, worth=worth, bounds=self.bounds)) for fit, share in fits
            )
            if polls > wanted * total:
                high = math.log(worth)
            else:
                low = math.log(worth)
        self._calculated = math.exp((low + high) / 2)
