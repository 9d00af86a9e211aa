"""Which watch of an account is asked about next, in memory, for a million of them.

A watch waits for its time in the calendar: a list for each second, which costs eight bytes and no sorting. The seconds
that have begun stand in exact order in one small heap. What is due waits for the gate in two queues, served in turn as
long as both have something: watches never asked about yet, for they may be over already; and the others, each with as
much grace as its last wait was long. So neither does a flood of new watches hold up the old ones, nor the reverse; and
where a provider allows less than all would need, every wait grows in proportion. Of the new ones the first and the last
that came are taken in turn: whoever adds one task does not wait behind ten thousand that came before it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from bridge.domain.durations.progress import Trail
from bridge.domain.watch import Memory, WatchState

SCANNED_PER_PLACE: Final = 4  # how many entries are looked at for each free place in a batch
NEVER: Final = -math.inf


@lru_cache(4096)
def one_of(memory: Memory) -> Memory:
    """One object for all watches of which the same is remembered, as most are: a tenth of a kilobyte each."""
    return memory


class Entry:
    """One watch in memory, as small as it can be; label and meta stay in the store.

    `due_at` is None while it is being polled, and when it is wanted no longer.
    """

    __slots__ = (
        "action",
        "added_at",
        "again",
        "began_at",
        "blocked_before_s",
        "due_at",
        "generation",
        "give_up_after_s",
        "memory",
        "polled_at",
        "revision",
        "seen_at",
        "task_id",
        "trail",
        "variant",
    )

    def __init__(self, state: WatchState, *, added_at: float) -> None:
        self.task_id = state.task_id
        self.generation = state.generation
        self.memory = one_of(state.memory)
        self.due_at: float | None = None
        self.polled_at = NEVER  # when this process last had an answer about it
        self.again = False  # somebody asked for a poll while one was under way
        self.began_at = added_at  # when its task began: the cadence keeps these four
        self.variant = ""  # the model, where answers name it
        self.seen_at = NEVER  # when this process last found it under way
        self.trail: Trail | None = None  # of its progress
        self.take(state, added_at=added_at)

    def take(self, state: WatchState, *, added_at: float) -> None:
        """What the store says of the same generation. What polls have left behind is known better here."""
        self.action = state.action
        self.give_up_after_s = state.give_up_after_s
        self.added_at = added_at
        self.blocked_before_s = state.blocked_before_s
        self.revision = state.revision

    def is_due(self, now: float) -> bool:
        return self.due_at is not None and self.due_at <= now

    def is_ripe(self, now: float) -> bool:
        """Whether it is due, or has half its wait behind it."""
        assert self.due_at is not None
        return self.due_at <= now or (self.polled_at > NEVER and self.due_at - now <= now - self.polled_at)

    def is_well(self) -> bool:
        """Whether its last answer, to this process, found it under way: to ask it early does no harm."""
        return self.seen_at > NEVER and self.memory.failures == 0 and self.memory.doubt is None

    def __lt__(self, other: Entry) -> bool:
        """Breaks ties between equal instants in a heap; says nothing else."""
        return self.task_id < other.task_id


Heap = list[tuple[float, Entry]]


class Agenda:
    """Entries by task id, and their order. What was rescheduled or forgotten stays where it was until it comes up."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._calendar: dict[int, list[Entry]] = {}  # by the second in which they fall due
        self._seconds: list[int] = []  # those of the calendar, a heap
        self._begun = NEVER  # the last second that has been taken out of the calendar
        self._near: Heap = []  # by the instant when they fall due
        self._fresh: deque[Entry] = deque()  # due and never asked about, as they came
        self._due: Heap = []  # due, by the instant until which they have grace
        self._is_turn_of_fresh = True
        self._is_turn_of_last = False  # among the fresh

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, task_id: str) -> Entry | None:
        return self._entries.get(task_id)

    def holds(self, entry: Entry) -> bool:
        """Whether this very entry is still wanted: neither withdrawn nor replaced by a new generation."""
        return self._entries.get(entry.task_id) is entry

    def add(self, state: WatchState, *, added_at: float) -> Entry:
        """A new entry, in place of an older generation's; `schedule` it next."""
        self.forget(state.task_id)
        entry = self._entries[state.task_id] = Entry(state, added_at=added_at)
        return entry

    def forget(self, task_id: str) -> None:
        """Never ask about it again."""
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            entry.due_at = None

    def clear(self) -> None:
        """Forget all."""
        for entry in self._entries.values():
            entry.due_at = None
        self._entries.clear()

    def schedule(self, entry: Entry, due_at: float) -> None:
        """Ask about it then."""
        entry.due_at = due_at
        second = int(due_at)
        if second <= self._begun:
            heapq.heappush(self._near, (due_at, entry))
        elif second in self._calendar:
            self._calendar[second].append(entry)
        else:
            self._calendar[second] = [entry]
            heapq.heappush(self._seconds, second)

    def hurry(self, entry: Entry, now: float) -> None:
        """Ask about it before all others."""
        entry.due_at = now
        heapq.heappush(self._due, (NEVER, entry))

    def next_at(self, now: float) -> float:
        """When the next one is due, or at most a second before that; infinity when none is."""
        self._collect(now)
        if self._due or self._fresh:
            return now
        if self._near:
            return self._near[0][0]
        return float(self._seconds[0]) if self._seconds else math.inf

    def due(self, now: float) -> int:
        """About how many are due: none only when there is none."""
        self._collect(now)
        return len(self._due) + len(self._fresh)

    def pop(self, now: float) -> Entry | None:
        """The next one that is due, from now on being polled."""
        self._collect(now)
        if not self._due and not self._fresh:
            return None
        is_fresh = bool(self._fresh) and (self._is_turn_of_fresh or not self._due)
        self._is_turn_of_fresh = not is_fresh
        if not is_fresh:
            return _taken(heapq.heappop(self._due)[1])
        is_last, self._is_turn_of_last = self._is_turn_of_last, not self._is_turn_of_last
        return _taken(self._fresh.pop() if is_last else self._fresh.popleft())

    def pop_early(self, now: float) -> Entry | None:
        """The next one, from now on being polled, whether or not its time has come."""
        entry = self.pop(now)
        while entry is None and (self._near or self._open_second(math.inf)):
            due_at, candidate = heapq.heappop(self._near)
            entry = _taken(candidate) if candidate.due_at == due_at else None
        return entry

    def pop_mates(self, fits: Callable[[Entry], bool], *, most: int, now: float) -> list[Entry]:
        """At most `most` others that fit, from now on being polled: those that have half their wait behind them, and
        where one request can hold all there are, those as well that fare well."""
        all_fit_in = len(self._entries) <= most + 1
        mates: list[Entry] = []
        looks = most * SCANNED_PER_PLACE
        for queue in (self._due, self._fresh, self._near):
            passed: Heap = []
            while looks and len(mates) < most and (queue or (queue is self._near and self._open_second(math.inf))):
                looks -= 1
                item = (NEVER, queue.popleft()) if isinstance(queue, deque) else heapq.heappop(queue)
                due_at, entry = item
                if entry.due_at is None or (queue is self._near and entry.due_at != due_at):
                    continue
                if (entry.is_ripe(now) or (all_fit_in and entry.is_well())) and fits(entry):
                    mates.append(_taken(entry))
                else:
                    passed.append(item)
            if isinstance(queue, deque):
                queue.extendleft(entry for _, entry in reversed(passed))
                continue
            for item in passed:
                heapq.heappush(queue, item)
        return mates

    def _collect(self, now: float) -> None:
        """Move what has fallen due into its queue, and let go of what is due no longer."""
        while self._seconds and self._seconds[0] <= now:
            self._open_second(now)
        near, due, fresh = self._near, self._due, self._fresh
        while near and (near[0][0] <= now or near[0][1].due_at != near[0][0]):
            due_at, entry = heapq.heappop(near)
            if entry.due_at != due_at:
                continue
            if entry.memory.polls == 0:
                fresh.append(entry)
            else:
                grace_s = due_at - entry.polled_at if entry.polled_at > NEVER else 0.0
                heapq.heappush(due, (due_at + grace_s, entry))
        while due and not due[0][1].is_due(now):
            heapq.heappop(due)
        while fresh and not fresh[0].is_due(now):
            fresh.popleft()
        while fresh and not fresh[-1].is_due(now):
            fresh.pop()

    def _open_second(self, now: float) -> bool:
        """Take the next second out of the calendar if it has begun by `now`; whether there was one."""
        if not self._seconds or self._seconds[0] > now:
            return False
        second = self._begun = heapq.heappop(self._seconds)
        for entry in self._calendar.pop(second):
            if entry.due_at is not None and int(entry.due_at) == second:
                heapq.heappush(self._near, (entry.due_at, entry))
        return True


def _taken(entry: Entry) -> Entry:
    entry.due_at = None
    return entry
