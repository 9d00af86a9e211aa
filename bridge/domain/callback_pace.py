"""How callbacks change polling: hints cause polls at a limited rate, and regular polls become less frequent."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bridge.domain.ids import WatchKey

HINTS_PER_S: Final = 5  # polls of an account that callbacks cause, in any second
TASK_EVERY_S: Final = 1.0  # minimum time between polls of one task that callbacks cause

READ_COST_BYTES: Final = 16 << 10  # cost of any callback, in addition to its size
READ_BYTES_PER_S: Final = 4 << 20  # 250 small callbacks a second ...
READ_BURST_BYTES: Final = 32 << 20  # ... or 2,000 at once after a quiet time; the largest one is always affordable

THINNED: Final = 4.0  # regular polls wait this many times longer while callbacks arrive ...
THINNED_MORE: Final = 8.0  # ... and this many times longer once callbacks are proven
PROVEN_BY: Final = 10  # callbacks are proven when this many tasks in a row finished with a callback
QUIET_GAPS: Final = 4.0  # callbacks have stopped when none arrived for this many times their usual interval ...
QUIET_LEAST_S: Final = 120.0  # ... but not earlier than this ...
QUIET_MOST_S: Final = 600.0  # ... and no later than this
LATE_S: Final = 30.0  # how long a callback may arrive after a poll has already found the task finished
CONFIRMED_BY: Final = 3  # after a missing callback: how many must come before polls become less frequent again
MAX_AWAITED: Final = 100


class HintPace:
    """Limits the polls that callbacks cause to `HINTS_PER_S` in any second."""

    def __init__(self) -> None:
        self._latest = [-math.inf] * HINTS_PER_S  # sorted

    def next_at(self, now: float, *, not_before: float = -math.inf) -> float:
        """When the next hint's poll may be sent."""
        return max(now, not_before, self._latest[0] + 1.0)

    def take(self, at: float) -> None:
        """Count a poll at this time, which `next_at` returned."""
        insort(self._latest, at)
        del self._latest[0]


class ReadBudget:
    """Limits how many callbacks of an account are read. It is a token bucket of bytes, and each callback has a fixed
    cost in addition to its size. So a flood of callbacks can use only a limited amount of CPU time."""

    def __init__(self) -> None:
        self._bytes = float(READ_BURST_BYTES)
        self._filled_at = -math.inf

    def admits(self, size: int, now: float) -> bool:
        """Whether to read a callback of this size. Counts it if so."""
        if now > self._filled_at:
            gained = min((now - self._filled_at) * READ_BYTES_PER_S, READ_BURST_BYTES)
            self._bytes, self._filled_at = min(self._bytes + gained, READ_BURST_BYTES), now
        cost = size + READ_COST_BYTES
        if cost > self._bytes:
            return False
        self._bytes -= cost
        return True


@dataclass(slots=True)
class CallbackReliance:
    """Whether an account's callbacks are reliable enough to make regular polls less frequent.

    Callbacks are reliable until `until_at`. Each callback sets `until_at` to four times the usual interval of callbacks
    from now, at least two and at most ten minutes. When a task finishes without a callback, they count as unreliable
    until three more callbacks have arrived.
    """

    until_at: float = -math.inf
    _heard_at: float = -math.inf
    _gap_s: float = 0.0
    _doubts: int = 0  # how many callbacks for finished tasks must arrive before callbacks count as reliable again
    _proofs: int = 0  # tasks in a row that finished with a callback
    _awaited: dict[str, float] = field(default_factory=dict)  # when each task without a callback finished

    def heard(self, now: float) -> None:
        """A callback about a watched task arrived."""
        gap_s = now - self._heard_at
        if gap_s <= QUIET_MOST_S:
            self._gap_s = gap_s if not self._gap_s else (self._gap_s + gap_s) / 2
        self._heard_at = now
        self._give_up_awaited(now)
        self.until_at = now + min(max(QUIET_GAPS * self._gap_s, QUIET_LEAST_S), QUIET_MOST_S)

    def heard_late(self, task_id: str, now: float) -> bool:
        """Count a callback about a task that a regular poll has just found finished. False for any other task."""
        if self._awaited.pop(task_id, None) is None:
            return False
        self.heard(now)
        self._confirm()
        return True

    def ended(self, task_id: str, now: float, *, announced: bool) -> None:
        """A poll found that the task has finished. `announced`: a callback had led to that poll."""
        if announced:
            self._confirm()
        elif now < self.until_at:
            self._awaited[task_id] = now
        self._give_up_awaited(now)

    def stretched_s(self, wait_s: float, now: float) -> float:
        """The wait until the next regular poll: `wait_s`, or a multiple of it while callbacks arrive. When callbacks
        stop, it ends at most `wait_s` later."""
        if self._doubts or now >= self.until_at:
            return wait_s
        factor = THINNED if self._proofs < PROVEN_BY else THINNED_MORE
        return min(factor * wait_s, self.until_at - now + wait_s)

    def _give_up_awaited(self, now: float) -> None:
        """Forget finished tasks whose callback is overdue."""
        while self._awaited:
            first = next(iter(self._awaited))
            if now - self._awaited[first] < LATE_S and len(self._awaited) <= MAX_AWAITED:
                break
            del self._awaited[first]
            self._doubts, self._proofs = CONFIRMED_BY, 0

    def _confirm(self) -> None:
        self._doubts = max(0, self._doubts - 1)
        self._proofs += 1


def first_of_each(keys: Iterable[WatchKey], most: int) -> tuple[list[WatchKey], list[WatchKey]]:
    """The first tasks of each account, at most this many, and the other tasks."""
    taken: list[WatchKey] = []
    left: list[WatchKey] = []
    seen = Counter[str]()
    for key in keys:
        (taken if seen[key.account] < most else left).append(key)
        seen[key.account] += 1
    return taken, left
