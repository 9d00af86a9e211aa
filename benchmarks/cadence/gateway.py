"""An aggregator that asks the vendor only every few seconds: how much it helps to poll just after it has done so."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.cadence.schedules import Schedule
from benchmarks.cadence.tasks import Task


@dataclass
class InStep:
    """Another schedule, with each poll moved to just after the next refresh. This is the best use of that knowledge."""

    schedule: Schedule
    period_s: float
    behind_s: float = 0.5

    def next_in_s(self, task: Task, age_s: float) -> float:
        at = task.begins_at + age_s + self.schedule.next_in_s(task, age_s)
        later = math.ceil((at - self.behind_s) / self.period_s) * self.period_s + self.behind_s
        return later - task.begins_at - age_s

    def ended(self, task: Task, age_s: float) -> None:
        self.schedule.ended(task, age_s)


def refreshed(tasks: Sequence[Task], period_s: float, *, jitter_s: float = 0.2, seed: int = 1) -> list[Task]:
    """The same tasks, but each end is visible only after the aggregator's next refresh, about once per period."""
    chance = random.Random(seed)
    seen = []
    for task in tasks:
        if math.isinf(task.duration_s):
            seen.append(task)
            continue
        end = task.begins_at + task.duration_s
        shown = math.ceil(end / period_s) * period_s + chance.uniform(0, jitter_s)
        seen.append(replace(task, duration_s=shown - task.begins_at))
    return seen
