"""How much needs a person, for pages that do not list it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

FRESH_S: Final = 2.0


class NeedCounts(NamedTuple):
    """Deliveries that were given up, and what needs somebody."""

    dead: int = 0
    needs: int = 0


class RecentNeeds:
    """Remembers the counts. Called through `Services.read`, so one call at a time."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._counts = NeedCounts()
        self._stale_at = -math.inf

    def remember(self, counts: NeedCounts) -> None:
        """These are the counts of now."""
        self._counts = counts
        self._stale_at = self._steady() + FRESH_S

    def counts(self, find: Callable[[], NeedCounts]) -> NeedCounts:
        """The counts, at most 2 s old. `find` counts again."""
        if self._steady() >= self._stale_at:
            self.remember(find())
        return self._counts
