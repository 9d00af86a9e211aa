"""The overview for routes. Parts that take long in a large store are cached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from bridge.config.load import Loaded
from bridge.control.overview import Overview, overview
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import Unchecked
from bridge.ports import Clock
from bridge.store import ReadStore

FRESH_S: Final = 60.0
COUNT_EVERY_S: Final = 1.0
COUNT_SHARE: Final = 20


class RecentOverview:
    """Caches the rows that cannot be read for a minute, because finding them reads every live row. Caches the number of
    finished tasks and the unchecked answers for at least a second: reading them takes at most a twentieth of the
    time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unreadable: Sequence[str] = ()
        self._stale_at = self._count_at = -math.inf
        self._counted: tuple[Mapping[Phase, int], Sequence[Unchecked]] | tuple[None, None] = (None, None)

    def read(self, store: ReadStore, loaded: Loaded) -> Overview:
        """The status of this store, for these settings. Called through `Services.read`, which makes one call at a
        time."""
        if self._clock.steady() >= self._stale_at:
            self._unreadable = store.unreadable()
            self._stale_at = self._clock.steady() + FRESH_S
        begun_at = self._clock.steady()
        over, unchecked = self._counted if begun_at < self._count_at else (None, None)
        found = overview(
            store, loaded, now=self._clock.now(), unreadable=self._unreadable, over=over, unchecked=unchecked
        )
        if over is None:
            now = self._clock.steady()
            finished = {phase: count for phase, count in found.counts.watches.items() if phase not in LIVE}
            self._counted = (finished, found.unchecked)
            self._count_at = now + max(COUNT_EVERY_S, COUNT_SHARE * (now - begun_at))
        return found
