"""How many things need a person, for pages that do not list them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from bridge.control.needs import Need

FRESH_S: Final = 2.0


class RecentNeeds:
    """Remembers the number. Called through `Services.read`, so one call at a time."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._number = 0
        self._stale_at = -math.inf

    def remember(self, found: Sequence[Need]) -> None:
        """These are all that there are now."""
        self._number = len(found)
        self._stale_at = self._steady() + FRESH_S

    def number(self, find: Callable[[], Sequence[Need]]) -> int:
        """How many there are. `find` lists them; it is called at most every 2 s."""
        if self._steady() >= self._stale_at:
            self.remember(find())
        return self._number
