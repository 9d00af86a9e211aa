"""Simulated tasks: how long they take, when they begin, and what their provider says of them meanwhile."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GIVEN_UP_S: Final = 3600.0
EARLY_S: Final = 20.0  # what fails early does so within this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Log-normal durations. `early` of them fail early, `endless` of them never end."""

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
        """The share of tasks under way at an age."""
        if age_s <= 0:
            return 1.0
        early = min(max(1 - (age_s - 1.0) / (EARLY_S - 1.0), 0.0), 1.0)
        usual = 0.5 * math.erfc(math.log(age_s / self.median_s) / (self.spread * math.sqrt(2)))
        return self.endless + self.early * early + (1 - self.endless - self.early) * usual


SHORT: Final = Kind(name="short", median_s=60.0, spread=0.35)
MIDDLE: Final = Kind(name="middle", median_s=180.0, spread=0.40)
LONG: Final = Kind(name="long", median_s=400.0, spread=0.50)
MIX: Final = ((SHORT, 0.50), (MIDDLE, 0.35), (LONG, 0.15))


@dataclass(slots=True)
class Task:
    """One of them, and what a poller remembers of it."""

    kind: str
    begins_at: float
    duration_s: float
    stuck_at: float = math.inf  # per cent beyond which its progress does not go
    polled_s: float = 0.0  # its age when it was last found under way
    polls: int = 0
    trail: object = None

    @property
    def succeeds(self) -> bool:
        return EARLY_S < self.duration_s < math.inf

    def progress(self, age_s: float, *, queued: float = 0.2, noise: float = 0.15) -> float:
        """What its provider says: nothing for a while, then unevenly towards 100, in steps of five."""
        if math.isinf(self.duration_s):
            return min(50.0, self.stuck_at)
        share = max(0.0, age_s / self.duration_s - queued) / (1 - queued)
        bent = share ** (1 + noise * math.sin(self.duration_s))  # each task at a pace of its own
        return min(5.0 * int(20 * bent), self.stuck_at, 99.0)


def draw(number: int, *, seed: int, kinds: Sequence[tuple[Kind, float]] = MIX, every_s: float = 30.0) -> list[Task]:
    """This many tasks that begin at random instants, `every_s` apart in the mean."""
    chance = random.Random(seed)
    tasks, at = [], 0.0
    for _ in range(number):
        kind = chance.choices([kind for kind, _ in kinds], [share for _, share in kinds])[0]
        at += chance.expovariate(1 / every_s)
        tasks.append(Task(kind.name, at, kind.draw_s(chance)))
    return tasks
