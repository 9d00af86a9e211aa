"""The summary that `genbridge demo` prints at its end."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bridge.simulator.demo_plan import DemoPlan
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.webhook_receiver import ReceivedWebhook


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRow:
    """What happened to one task. `delay_s` runs until its webhook arrived: from the moment it finished at the provider,
    or from the moment its file was added, if later."""

    task_id: str
    topic: str | None = None
    polls: int
    delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """The demo in figures."""

    rows: tuple[DemoRow, ...]
    finished: int
    repeats: int
    requests: int

    @classmethod
    def of(
        cls,
        plan: DemoPlan,
        provider: SimulatedProvider,
        *,
        webhooks: Collection[ReceivedWebhook],
        repeats: int,
        started_at: float,
    ) -> DemoSummary:
        """From what provider and receiver know by now."""
        finished_at = provider.finished_at
        arrived = {webhook.task_id: webhook for webhook in webhooks}
        rows = []
        for file in plan.files:
            for task_id in (task.task_id for task in file.tasks):
                webhook = arrived.get(task_id)
                from_at = max(started_at + file.at_s, finished_at.get(task_id, 0.0))
                rows.append(
                    DemoRow(
                        task_id=task_id,
                        topic=None if webhook is None else webhook.topic,
                        polls=provider.polls[task_id],
                        delay_s=None if webhook is None else webhook.arrived_at - from_at,
                    )
                )
        finished = sum(row.task_id in finished_at for row in rows)
        return cls(rows=tuple(rows), finished=finished, repeats=repeats, requests=provider.requests)

    @property
    def notified(self) -> int:
        return sum(row.topic is not None for row in self.rows)

    @property
    def is_complete(self) -> bool:
        """Every task has its webhook."""
        return self.notified == len(self.rows)

    def text(self) -> str:
        """For people: a line per task, then the figures."""
        total = len(self.rows)
        width = max(len(row.task_id) for row in self.rows)
        delays = [row.delay_s for row in self.rows if row.delay_s is not None]
        return "\n".join(
            (
                f"{'task':<{width}}  {'webhook':<16}  polls  delay",
                *(
                    f"{row.task_id:<{width}}  {row.topic or 'none':<16}  {row.polls:>5}  {_seconds(row.delay_s):>5}"
                    for row in self.rows
                ),
                "",
                f"{total} tasks: {self.finished} finished, {self.notified} notified, {self.repeats} duplicate webhooks",
                f"polls per task: {_spread([row.polls for row in self.rows], '{:.0f}')}, in {self.requests} requests",
                f"delay: {_spread(delays, '{:.1f} s')} (finished at the provider to webhook received)",
            )
        )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _spread(values: Sequence[float], pattern: str) -> str:
    if not values:
        return "none"
    return f"median {pattern.format(statistics.median(values))}, max {pattern.format(max(values))}"
