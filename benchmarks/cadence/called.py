"""Tasks whose provider calls back: how many polls are still sent, and the delay."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.cadence.schedules import Learned
from benchmarks.cadence.subjects import WORTH, Answer
from benchmarks.cadence.tasks import GIVEN_UP_S, MIX, Task, draw
from bridge.domain.callback_pace import CallbackReliance

COMES_S: Final = 0.05  # time from a change to the poll that its callback causes
EVERY_S: Final = 30.0  # time between two new tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The mean number of polls per task, including the first one, and the median delay of its end."""

    polls: float
    p50_s: float


def play_called(tasks: Sequence[Task], *, changes: int) -> Called:
    """Poll by the learned cadence, less often while callbacks arrive, as in the daemon. The provider calls back
    `changes` times for each task: 0 is never, 1 is when it ends, 2 is also when it starts to run."""
    tasks = [replace(task) for task in tasks]
    schedule, reliance = Learned(WORTH), CallbackReliance()
    agenda = [(task.begins_at, place, False) for place, task in enumerate(tasks)]
    if changes:
        agenda += [(task.begins_at + task.duration_s + COMES_S, place, True) for place, task in enumerate(tasks)]
    if changes > 1:
        agenda += [(task.begins_at + 1.0, place, True) for place, task in enumerate(tasks) if task.duration_s > 1.0]
    heapq.heapify(agenda)
    due = [task.begins_at for task in tasks]
    delays: dict[int, float] = {}
    polls = 0
    while agenda:
        now, place, is_called = heapq.heappop(agenda)
        task = tasks[place]
        age_s = now - task.begins_at
        if place in delays or (not is_called and due[place] != now) or age_s > GIVEN_UP_S:
            if is_called:
                reliance.heard_late(str(place), now)
            continue
        polls += 1
        task.polls += age_s > 0
        if is_called:
            reliance.heard(now)
        if age_s >= task.duration_s:
            delays[place] = age_s - task.duration_s
            schedule.ended(task, age_s)
            if changes:
                reliance.ended(str(place), now, announced=is_called)
            continue
        wait_s = reliance.stretched_s(schedule.next_in_s(task, age_s), now)
        task.polled_s = age_s
        due[place] = now + wait_s
        heapq.heappush(agenda, (due[place], place, False))
    return Called(polls=polls / len(tasks), p50_s=sorted(delays.values())[len(delays) // 2])


def by_callbacks(number: int = 2000) -> Answer:
    """Compare no callbacks, one for each task, and two for each task."""
    tasks = draw(number, seed=1, kinds=MIX, every_s=EVERY_S)
    names = ("none", "at the end", "at the end and when it starts to run")
    found = [play_called(tasks, changes=changes) for changes in range(len(names))]
    rows: list[tuple[str, ...]] = [
        (name, f"{one.polls:.2f}", f"{one.polls / found[0].polls:.2f}", f"{one.p50_s:.2f}")
        for name, one in zip(names, found, strict=True)
    ]
    head = ("callbacks", "polls per task", "compared with none", "median delay, s")
    return Answer(title="Callbacks, 50 ms after the change", head=head, rows=rows)
