"""Many tasks that share a request, as with a list endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.cadence.schedules import BOUNDS
from benchmarks.cadence.tasks import GIVEN_UP_S, Task, draw
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.durations.poll_rate import together_in_s
from bridge.domain.durations.table import DurationKey

MEAN_S: Final = 168.0  # mean duration of the tasks of the mix


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The result of a simulation."""

    requests: float  # per task
    mean_s: float
    p95_s: float
    first_s: float  # mean time from a task's beginning to its first poll


def play_crowd(in_flight: int, *, worth: float, seed: int, number: int = 600) -> Shared:
    """Tasks of the mix begin at random instants, so that this many are in flight on average, and one request is about
    all of them.

    It works as in the daemon. The first poll of a new task waits for at most the shortest interval, so that it can join
    the poll of the others. Every request is about all tasks in flight. The sum of all hazards determines the time of
    the next request. Counting begins when three times as many tasks have begun as are in flight on average. It ends
    when the last task begins.
    """
    tasks = draw(number + 3 * in_flight, seed=seed, every_s=MEAN_S / in_flight)
    counts_from, counts_to = tasks[3 * in_flight].begins_at, tasks[-1].begins_at
    knowledge = LearnedDurations()
    coming, flying = tasks[::-1], list[Task]()
    now, next_at, requests = 0.0, float("inf"), 0
    delays: list[float] = []
    firsts: list[float] = []
    while now < counts_to:
        now = min(next_at, coming[-1].begins_at + BOUNDS.min_s) if coming else next_at
        is_counted = counts_from <= now < counts_to
        requests += is_counted
        while coming and coming[-1].begins_at <= now:
            flying.append(coming.pop())
            if is_counted:
                firsts.append(now - flying[-1].begins_at)
        for task in list(flying):
            key, age_s = DurationKey("account", task.kind), now - task.begins_at
            if age_s >= task.duration_s:
                knowledge.ended(key, task.polled_s, age_s, at_s=None, succeeded=task.succeeds)
                if is_counted:
                    delays.append(age_s - task.duration_s)
            elif age_s < GIVEN_UP_S:
                knowledge.seen(key, task.polled_s, age_s)
                task.polled_s = age_s
                continue
            flying.remove(task)
        members = [(knowledge.fit(DurationKey("account", task.kind)), now - task.begins_at) for task in flying]
        next_at = now + (together_in_s(members, worth=worth, bounds=BOUNDS) if members else BOUNDS.max_s)
    delays.sort()
    return Shared(
        requests=requests / len(delays),
        mean_s=sum(delays) / len(delays),
        p95_s=delays[int(0.95 * len(delays))],
        first_s=sum(firsts) / len(firsts),
    )
