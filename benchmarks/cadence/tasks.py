"""Simulated tasks: how long they take, when they begin, and what progress their provider shows."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GIVEN_UP_S: Final = 3600.0
EARLY_S: Final = 20.0  # a task that fails early fails within this time


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingKind:
    """A kind of tasks with log-normal durations. `early` is the share that fails early, `endless` the share that never
    ends."""

    name: str
    median_s: float
    spread: float
    early: float = 0.05
    endless: float = 0.002

    def draw_s(self, chance: random.Random) -> float:
        luck = chance.random()
        if luck < self.endless:
            return math.inf
        if luck < self.endless + self.early:
            return chance.uniform(1.0, EARLY_S)
        return self.median_s * math.exp(chance.gauss(0.0, self.spread))

    def alive(self, age_s: float) -> float:
        """The share of tasks that still run at this age."""
        if age_s <= 0:
            return 1.0
        early = min(max(1 - (age_s - 1.0) / (EARLY_S - 1.0), 0.0), 1.0)
        usual = 0.5 * math.erfc(math.log(age_s / self.median_s) / (self.spread * math.sqrt(2)))
        return self.endless + self.early * early + (1 - self.endless - self.early) * usual


SHORT: Final = ReadingKind(name="short", median_s=60.0, spread=0.35)
MIDDLE: Final = ReadingKind(name="middle", median_s=180.0, spread=0.40)
LONG: Final = ReadingKind(name="long", median_s=400.0, spread=0.50)
MIX: Final = ((SHORT, 0.50), (MIDDLE, 0.35), (LONG, 0.15))


@dataclass(slots=True)
class Task:
    """A task, and what a schedule remembers about it."""

    kind: str
    begins_at: float
    duration_s: float
    stuck_at: float = math.inf  # highest progress that is shown, in percent
    polled_s: float = 0.0  # its age when a poll last found it running
    polls: int = 0
    trend: object = None

    @property
    def succeeds(self) -> bool:
        return EARLY_S < self.duration_s < math.inf

    def progress(self, age_s: float, *, queued: float = 0.2, noise: float = 0.15) -> float:
        """The progress that its provider shows: 0 for a while, then unevenly towards 100 in steps of five."""
        if math.isinf(self.duration_s):
            return min(50.0, self.stuck_at)
        share = max(0.0, age_s / self.duration_s - queued) / (1 - queued)
        bent = share ** (1 + noise * math.sin(self.duration_s))  # each task has its own pace
        return min(5.0 * int(20 * bent), self.stuck_at, 99.0)


def draw(
    number: int, *, seed: int, kinds: Sequence[tuple[ReadingKind, float]] = MIX, every_s: float = 30.0
) -> list[Task]:
    """This many tasks that begin at random instants. The mean time between two is `every_s`."""
    chance = random.Random(seed)
    tasks, at = [], 0.0
    for _ in range(number):
        kind = chance.choices([kind for kind, _ in kinds], [share for _, share in kinds])[0]
        at += chance.expovariate(1 / every_s)
        tasks.append(Task(kind.name, at, kind.draw_s(chance)))
    return tasks
