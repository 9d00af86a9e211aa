"""Simulates how a schedule polls tasks."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.cadence.schedules import Fixed, Schedule
from benchmarks.cadence.tasks import GIVEN_UP_S, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The result of a simulation. `polls` does not count the first poll of a task, because every schedule sends it at
    once."""

    polls: float
    mean_s: float
    p95_s: float
    each: tuple[tuple[int, float], ...]  # polls and delay of each task, in the order of `tasks`

    @property
    def product(self) -> float:
        """Polls x mean delay. It hardly depends on the chosen worth, so it is used to compare schedules."""
        return self.polls * self.mean_s


def play(tasks: Sequence[Task], schedule: Schedule) -> Score:
    """Poll each task until a poll shows that it has ended, or give up after an hour."""
    tasks = [replace(task) for task in tasks]
    agenda = [(task.begins_at, place) for place, task in enumerate(tasks)]
    heapq.heapify(agenda)
    each: dict[int, tuple[int, float]] = {}
    while agenda:
        now, place = heapq.heappop(agenda)
        task = tasks[place]
        age_s = now - task.begins_at
        if age_s > 0:
            task.polls += 1
        if age_s >= task.duration_s:
            each[place] = (task.polls, age_s - task.duration_s)
            schedule.ended(task, age_s)
        elif age_s >= GIVEN_UP_S:
            each[place] = (task.polls, math.nan)
        else:
            wait_s = schedule.next_in_s(task, age_s)
            task.polled_s = age_s
            heapq.heappush(agenda, (now + min(wait_s, max(GIVEN_UP_S - age_s, 0.01)), place))
    return score([each[place] for place in range(len(tasks))])


def score(each: Sequence[tuple[int, float]]) -> Score:
    """The score of these tasks, from the polls and delay of each."""
    delays = sorted(delay_s for _, delay_s in each if not math.isnan(delay_s))
    return Score(
        polls=sum(polls for polls, _ in each) / len(each),
        mean_s=sum(delays) / len(delays),
        p95_s=delays[int(0.95 * len(delays))],
        each=tuple(each),
    )


def polls_at(tasks: Sequence[Task], mean_s: float) -> float:
    """How many polls per task a fixed interval needs for this mean delay."""
    low, high = 0.1, 600.0
    for _ in range(14):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if play(tasks, Fixed(middle)).mean_s < mean_s else (low, middle)
    return play(tasks, Fixed(math.sqrt(low * high))).polls
