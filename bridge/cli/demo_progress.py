"""The progress of `genbridge demo`, read from its provider and its receiver."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulator.demo_plan import DemoFile, DemoPlan, DemoTask
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.webhook_receiver import ReceivedWebhook, Receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRow:
    """How far one task is. `progress` is at the provider, from 0 to 1. `delay_s` runs until its webhook was accepted:
    from the moment it finished at the provider, or from the moment its file was added, if later. `turned_away`: how
    often the receiver answered 503."""

    task_id: str
    name: str
    file: str
    is_added: bool
    progress: float
    polls: int
    webhook: ReceivedWebhook | None
    turned_away: int
    delay_s: float | None

    @property
    def topic(self) -> str | None:
        return None if self.webhook is None else self.webhook.topic

    @property
    def result(self) -> str:
        """The first result URL and how many more there are, or the reason; before the webhook, how far the task is."""
        if self.webhook is None:
            here = "finished, not notified yet" if self.progress >= 1 else "running"
            return here if self.is_added else "not added yet"
        urls = self.webhook.urls
        more = f" (+{len(urls) - 1})" if len(urls) > 1 else ""
        return f"{urls[0]}{more}" if urls else self.webhook.reason

    @property
    def answers(self) -> str:
        """What the receiver answered: `200`, `503, then 200`; empty before the first webhook."""
        given = ["503"] * self.turned_away + (["200"] if self.webhook else [])
        return ", then ".join(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    rows: tuple[DemoRow, ...]
    finished: int
    repeats: int
    requests: int

    @classmethod
    def of(
        cls, plan: DemoPlan, provider: SimulatedProvider, receiver: Receiver, *, started_at: float, now: float
    ) -> DemoSummary:
        """The summary of what has happened so far."""
        arrived = {webhook.task_id: webhook for webhook in receiver.webhooks.values()}
        finished_at = provider.finished_at
        progress = {task.task_id: task.progress_at(now) for task in provider.tasks}

        def row(file: DemoFile, task: DemoTask) -> DemoRow:
            webhook = arrived.get(task.task_id)
            from_at = max(started_at + file.at_s, finished_at.get(task.task_id, 0.0))
            return DemoRow(
                task_id=task.task_id,
                name=task.label or task.task_id,
                file=file.name,
                is_added=now >= started_at + file.at_s,
                progress=progress.get(task.task_id, 0.0),
                polls=provider.polls[task.task_id],
                webhook=webhook,
                turned_away=receiver.turned_away[task.task_id],
                delay_s=None if webhook is None else webhook.arrived_at - from_at,
            )

        rows = tuple(row(file, task) for file in plan.files for task in file.tasks)
        finished = sum(one.task_id in finished_at for one in rows)
        return cls(rows=rows, finished=finished, repeats=receiver.repeats, requests=provider.requests)

    @property
    def notified(self) -> int:
        return sum(row.webhook is not None for row in self.rows)

    @property
    def retried(self) -> int:
        """Tasks whose webhook was accepted after a 503."""
        return sum(row.webhook is not None and row.turned_away > 0 for row in self.rows)

    @property
    def is_complete(self) -> bool:
        """Every task has its webhook."""
        return self.notified == len(self.rows)
