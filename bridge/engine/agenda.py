"""Which watch of an account is asked about next: one heap, in memory."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.domain.watch import WatchState

SCANNED_PER_PLACE = 4  # how many entries are looked at for each free place in a batch


@dataclass(slots=True, eq=False)
class Entry:
    """One watch in memory. `due_at` is None while it is being polled; `wait_s` is the wait that ends then."""

    state: WatchState
    due_at: float | None = None
    wait_s: float = 0.0
    again: bool = False  # somebody asked for a poll while one was under way
    asked: bool = False  # polled at least once by this process


class Agenda:
    """Entries by task id, and their order. What was rescheduled or forgotten stays in the heap until it comes up."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._heap: list[tuple[float, int, Entry]] = []
        self._order = itertools.count()  # breaks ties, first come first

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, task_id: str) -> Entry | None:
        return self._entries.get(task_id)

    def holds(self, entry: Entry) -> bool:
        """Whether this very entry is still wanted: neither withdrawn nor replaced by a new generation."""
        return self._entries.get(entry.state.task_id) is entry

    def add(self, state: WatchState) -> Entry:
        """A new entry, in place of an older generation's; `schedule` it next."""
        self.forget(state.task_id)
        entry = self._entries[state.task_id] = Entry(state)
        return entry

    def forget(self, task_id: str) -> None:
        """Never ask about it again."""
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            entry.due_at = None

    def schedule(self, entry: Entry, due_at: float, *, now: float) -> bool:
        """Ask about it then; True when it is now the next of all."""
        entry.due_at, entry.wait_s = due_at, max(0.0, due_at - now)
        heapq.heappush(self._heap, (due_at, next(self._order), entry))
        return self._heap[0][2] is entry

    def next_at(self) -> float:
        """When the next one is due; infinity when none is."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def pop(self) -> Entry:
        """The next one, from now on being polled."""
        self.next_at()
        _, _, entry = heapq.heappop(self._heap)
        entry.due_at = None
        return entry

    def pop_mates(self, fits: Callable[[Entry], bool], *, most: int, now: float) -> list[Entry]:
        """At most `most` others that fit and have half their wait behind them, from now on being polled."""
        mates: list[Entry] = []
        passed: list[tuple[float, int, Entry]] = []
        for _ in range(most * SCANNED_PER_PLACE):
            if len(mates) == most or self.next_at() == math.inf:
                break
            item = heapq.heappop(self._heap)
            due_at, _, entry = item
            if due_at - now <= entry.wait_s / 2 and fits(entry):
                entry.due_at = None
                mates.append(entry)
            else:
                passed.append(item)
        for item in passed:
            heapq.heappush(self._heap, item)
        return mates

    @staticmethod
    def _is_stale(item: tuple[float, int, Entry]) -> bool:
        return item[2].due_at != item[0]
