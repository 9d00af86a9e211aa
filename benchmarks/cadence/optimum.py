"""Dynamic programming: finds the instants that minimize polls + worth x delay for a known distribution."""

from __future__ import annotations

from benchmarks.cadence.schedules import BOUNDS, Planned
from benchmarks.cadence.tasks import GIVEN_UP_S, ReadingKind


def optimum(kinds: list[ReadingKind], *, worth: float) -> Planned:
    """The best instants for each kind, on a grid of seconds. `worth` is how many polls one second of delay is worth."""
    return Planned({kind.name: _instants(kind, worth) for kind in kinds})


def _instants(kind: ReadingKind, worth: float) -> list[float]:
    """cost[a] is the remaining cost of the tasks that a poll at age a has found running. If the next poll is at age b,
    it is the sum of three costs: that poll of all these tasks, the delay of those that end between a and b, and
    cost[b]."""
    last = int(GIVEN_UP_S)
    alive = [kind.alive(age) for age in range(last + 1)]
    area = [0.0]  # integral of `alive` up to each age
    for age in range(last):
        area.append(area[-1] + (alive[age] + alive[age + 1]) / 2)
    cost, choice = [0.0] * (last + 1), [last] * (last + 1)
    for a in range(last - 1, -1, -1):
        best = float("inf")
        for b in range(min(a + int(BOUNDS.min_s), last), min(a + int(BOUNDS.max_s), last) + 1):
            # A task that ends between a and b is delayed until b: the integral of (b - t) f(t) is (b - a) alive(a) -
            # the area.
            delay_s = (b - a) * alive[a] - (area[b] - area[a])
            total = alive[a] + worth * delay_s + cost[b]
            if total < best:
                best, choice[a] = total, b
        cost[a] = best
    instants, age = [], 0
    while age < last:
        age = choice[age]
        instants.append(float(age))
    return instants
