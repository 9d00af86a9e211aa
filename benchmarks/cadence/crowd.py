"""Many tasks that share a request: a list endpoint."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cadence.schedules import BOUNDS
from benchmarks.cadence.tasks import MIX, Kind
from bridge.domain.durations.group import together_in_s
from bridge.domain.durations.knowledge import Key, Knowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What it came to."""

    requests: float  # for each task
    mean_s: float
    p95_s: float
    first_s: float  # from a task's beginning to its first poll, in the mean


def play_crowd(
    in_flight: int, *, worth: float, seed: int, ends: int = 600, kinds: Sequence[tuple[Kind, float]] = MIX
) -> Shared:
    """Keep so many tasks in flight, each begun a random while after one ended, and ask about all of them at once.

    As in the daemon: a new one's first poll waits for at most the least interval, so that others may join it; it takes
    all others along; and the next request is when the sum of all hazards says. Counting begins when twice as many have
    ended as are in flight.
    """
    chance, knowledge = random.Random(seed), Knowledge()
    names, shares = [kind for kind, _ in kinds], [share for _, share in kinds]
    # kind, begins at, ends at, age when last found under way
    flying: list[list[float]] = []
    requests, now, next_at = 0, 0.0, 0.0
    delays: list[float] = []
    firsts: list[float] = []

    def begin(at: float) -> None:
        place = names.index(chance.choices(names, shares)[0])
        duration_s = min(names[place].draw_s(chance), 3600.0)
        flying.append([float(place), at, at + duration_s, -1.0])

    for _ in range(in_flight):
        begin(chance.uniform(0.0, 200.0))
    counted = False
    while len(delays) < ends:
        if not counted and len(delays) >= 2 * in_flight:
            counted, requests = True, 0
            delays.clear()
            firsts.clear()
        waiting = [task[1] for task in flying if task[3] < 0]
        now = max(now, min([next_at, *(at + BOUNDS.min_s for at in waiting)]))
        requests += 1
        for task in [task for task in flying if task[1] <= now]:
            key = Key("account", names[int(task[0])].name)
            age_s = now - task[1]
            if task[3] < 0:
                firsts.append(age_s)
                task[3] = 0.0
            if now >= task[2]:
                flying.remove(task)
                delays.append(now - task[2])
                knowledge.ended(key, task[3], age_s, at_s=None, succeeded=True)
                begin(now + chance.expovariate(1 / 5.0))
            else:
                knowledge.seen(key, task[3], age_s)
                task[3] = age_s
        members = [
            (knowledge.fit(Key("account", names[int(task[0])].name)), now - task[1])
            for task in flying
            if task[1] <= now
        ]
        next_at = now + together_in_s(members, worth=worth, bounds=BOUNDS) if members else now + BOUNDS.max_s
    delays.sort()
    return Shared(
        requests=requests / len(delays),
        mean_s=sum(delays) / len(delays),
        p95_s=delays[int(0.95 * len(delays))],
        first_s=sum(firsts) / len(firsts),
    )
