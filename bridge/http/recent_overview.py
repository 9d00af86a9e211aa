"""The overview as routes give it: what takes long in a large store is looked up once a minute only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bridge.config.load import Loaded
from bridge.control.overview import Overview, overview
from bridge.ports import Clock
from bridge.store import ReadStore

FRESH_S: Final = 60.0


class RecentOverview:
    """Finds rows that cannot be read by reading every live one, so it remembers them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unreadable: Sequence[str] = ()
        self._stale_at = -math.inf

    def read(self, store: ReadStore, loaded: Loaded) -> Overview:
        """The status of this store, for these settings. Called through `Services.read`, so one call at a time."""
        if self._clock.steady() >= self._stale_at:
            self._unreadable = store.unreadable()
            self._stale_at = self._clock.steady() + FRESH_S
        return overview(store, loaded, now=self._clock.now(), unreadable=self._unreadable)
