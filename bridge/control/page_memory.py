"""What the status page keeps in memory between requests."""

from __future__ import annotations

from bridge.control.now_figures import FinishedCounts
from bridge.control.rings import Rings
from bridge.metrics import Metrics
from bridge.ports import Clock


class PageMemory:
    """One for each daemon that serves a page. Only the event loop uses `rings`, and only `Services.read` uses
    `finished`."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.rings = Rings(metrics, clock)
        self.finished = FinishedCounts(clock.steady)

    async def run(self) -> None:
        """Record the figures of the last day until canceled."""
        await self.rings.run()
