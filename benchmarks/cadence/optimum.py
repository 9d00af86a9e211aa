"""The dynamic programme: the instants that minimise polls + worth x delay for a known distribution."""

from __future__ import annotations

from benchmarks.cadence.schedules import BOUNDS, Planned
from benchmarks.cadence.tasks import GIVEN_UP_S, Kind


def optimum(kinds: list[Kind], *, worth: float) -> Planned:
    """The best instants for each kind, on a grid of seconds. `worth` is that of a second of delay, in polls."""
    return Planned({kind.name: _instants(kind, worth) for kind in kinds})


def _instants(kind: Kind, worth: float) -> list[float]:
    """cost[a] is what is still to be paid by those under way at age a, polled then: for the next poll at b, the poll
    itself by those under way at a, the delay of those that end between, and cost[b]."""
    last = int(GIVEN_UP_S)
    alive = [kind.alive(age) for age in range(last + 1)]
    area = [0.0]  # of `alive`, up to each age
    for age in range(last):
        area.append(area[-1] + (alive[age] + alive[age + 1]) / 2)
    cost, choice = [0.0] * (last + 1), [last] * (last + 1)
    for a in range(last - 1, -1, -1):
        best = float("inf")
        for b in range(min(a + int(BOUNDS.min_s), last), min(a + int(BOUNDS.max_s), last) + 1):
            # Those that end between wait for b: the integral of (b - t) f(t) is (b - a) alive(a) - the area.
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
