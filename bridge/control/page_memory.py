"""What the status page keeps in memory between two requests."""

from __future__ import annotations

from bridge.control.now_figures import FinishedCounts
from bridge.control.rings import Rings
from bridge.metrics import Metrics
from bridge.ports import Clock


class PageMemory:
    """One for each daemon that serves a page. `rings` is for the event loop, `finished` for
    `Services.read`."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.rings = Rings(metrics, clock)
        self.finished = FinishedCounts(clock.steady)

    async def run(self) -> None:
        """Keep the figures of the last day, until cancelled."""
        await self.rings.run()
