"""RateLimiter, steps and cadence of one account together, without the engine."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from bridge.domain.cadence import Pacing, next_poll_in_s
from bridge.domain.rate_limiter import RateLimiter, RateLimits
from bridge.domain.task import Reading, ReadingKind
from bridge.domain.watch import Memory, Rules, advance
from tests.factories import NOW, make_reading

GOOD = make_reading(ReadingKind.RUNNING)
REFUSED = make_reading(ReadingKind.AUTH_ERROR, detail="401")
DOWN = make_reading(ReadingKind.TRANSIENT, detail="500", server_trouble=True)


def play(
    tasks: int, answer: Callable[[str, float], Reading], *, until_s: float
) -> list[tuple[float, str, ReadingKind]]:
    """Poll `tasks` watches of one account as the engine does. Returns the time, the watch and the result of each poll.
    Every answer takes a tenth of a second, and no task ends."""
    limiter, now, polls = RateLimiter(RateLimits(), now=NOW), 0.0, list[tuple[float, str, ReadingKind]]()
    memories = {f"task-{count}": Memory() for count in range(tasks)}
    due = [(0.0, name) for name in memories]
    flying: list[tuple[float, str]] = []
    while now < until_s:
        wait_s = max(due[0][0] - now, limiter.wait_s(NOW + now)) if due else math.inf
        if flying and flying[0][0] <= now + wait_s:
            now, name = heapq.heappop(flying)
            reading = answer(name, now)
            polls.append((now, name, reading.kind))
            limiter.answered(reading, task_id=name, now=NOW + now, chance=0.5)
            step = advance(memories[name], reading, now=NOW + now, age_s=now, rules=Rules())
            memories[name] = step.memory
            next_s, _ = next_poll_in_s(
                step.memory, step.spacing, now=NOW + now, age_s=now, pacing=Pacing(), rules=Rules(), chance=0.5
            )
            heapq.heappush(due, (now + next_s, name))
        elif wait_s > 0:
            now += wait_s
        else:
            limiter.take(NOW + now)
            heapq.heappush(flying, (now + 0.1, heapq.heappop(due)[1]))
    return polls


@pytest.mark.parametrize("tasks", [1, 4, 5, 50, 500])
def test_ten_minutes_of_500_cause_few_probes_and_recovery_is_fast(tasks: int) -> None:
    polls = play(tasks, lambda _, now: DOWN if 300 <= now < 900 else GOOD, until_s=1000)
    down = [now for now, _, kind in polls if kind is ReadingKind.TRANSIENT]
    recovered = next(now for now, _, kind in polls if now >= 900 and kind is ReadingKind.RUNNING)
    assert len(down) <= 80
    assert recovered - 900 <= 60.5


@pytest.mark.parametrize("neighbours", [1, 3, 20])
@pytest.mark.parametrize("since_s", [0, 1000])
def test_a_task_that_always_fails_is_still_polled_without_slowing_others(neighbours: int, since_s: int) -> None:
    def poisonous(name: str, now: float) -> Reading:
        return DOWN if name == "task-0" and now >= since_s else GOOD

    polls = play(1 + neighbours, poisonous, until_s=3600)
    calm = play(1 + neighbours, lambda _, __: GOOD, until_s=3600)
    for number in range(1, 1 + neighbours):
        mine = [now for now, name, _ in polls if name == f"task-{number}"]
        before = [now for now, name, _ in calm if name == f"task-{number}"]
        assert mine == pytest.approx(before, abs=2.0)
    asked = [now for now, name, _ in polls if name == "task-0"]
    assert 3600 / 60 * 0.5 <= len(asked) <= 3600 / 45 + 50
    assert max(after - now for now, after in pairwise(asked)) <= 120


def test_a_single_refused_task_delays_others_once_and_is_then_polled_rarely() -> None:
    polls = play(11, lambda name, _: REFUSED if name == "task-0" else GOOD, until_s=3600)
    refused = [now for now, name, _ in polls if name == "task-0"]
    assert len(refused) <= 12
    mine = [now for now, name, _ in polls if name == "task-5"]
    assert max(after - now for now, after in pairwise(mine)) <= 310
    assert sum(after - now > max(60, 0.11 * now + 2) for now, after in pairwise(mine)) <= 1


def test_a_revoked_key_causes_few_probes_until_a_valid_key_comes() -> None:
    polls = play(50, lambda _, now: REFUSED if 100 <= now < 3700 else GOOD, until_s=4400)
    assert sum(kind is ReadingKind.AUTH_ERROR for _, _, kind in polls) <= 16 + 10
    later = {name for now, name, kind in polls if now >= 3700}
    assert len(later) == 50
