"""Which watch of an account is polled next: an in-memory queue for a million watches.

- A watch that is not due waits in the calendar, a list for each second: eight bytes each, and no sorting. Only the
  seconds that have begun are sorted, in one small heap.
- Due watches wait for the rate limiter in two queues that take turns: new watches, which may already have finished, and
  watches that were polled before. So neither can delay the other, however many there are. A watch that was
  polled before may be late by up to its last wait. If a provider allows too few polls, all waits grow in proportion.
- New watches are taken from both ends in turn. So one added task does not wait for ten thousand others.
- Watches added in bulk (hundreds in one transaction) take turns with all others, so one person's hundred thousand tasks
  do not delay anybody else's.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from bridge.domain.durations.progress import ProgressTrend
from bridge.domain.watch import Memory, WatchState

SCANNED_PER_PLACE: Final = 4  # entries to examine for each free place in a batch
BULK: Final = 200  # if a transaction adds more watches than this, they count as bulk
MAX_BULKS: Final = 10_000  # maximum number of remembered bulk additions
NEVER: Final = -math.inf


@lru_cache(4096)
def shared_memory(memory: Memory) -> Memory:
    """One object for all watches with equal memories, which most watches have. Saves 100 bytes each."""
    return memory


@dataclass(slots=True, eq=False)
class PollEntry:
    """One watch in memory, kept small: label and meta stay in the store."""

    # As stored. `WatchSchedule` updates these.
    task_id: str
    generation: int
    memory: Memory
    action: str | None
    give_up_after_s: float | None
    added_at: float
    blocked_before_s: float
    revision: int
    # What `LearnedCadence` knows:
    began_at: float  # when its task began
    variant: str = ""  # the model, if answers contain it
    seen_at: float = NEVER  # when this process last found it running
    trend: ProgressTrend | None = None
    # Its place in the schedule. Only `WatchSchedule` and `PollQueue` change it.
    due_at: float | None = None  # None while it is being polled, and after it was forgotten
    polled_at: float = NEVER  # when this process last got an answer
    again_at: float | None = None  # when to poll it once more, if that was requested during a poll

    def update(self, state: WatchState, *, added_at: float) -> None:
        """Apply the stored state of the same generation, except for the fields that polls change: those are newer
        here."""
        self.action = state.action
        self.give_up_after_s = state.give_up_after_s
        self.added_at = added_at
        self.blocked_before_s = state.blocked_before_s
        self.revision = state.revision

    def is_due(self, now: float) -> bool:
        return self.due_at is not None and self.due_at <= now

    def may_share_request(self, now: float) -> bool:
        """Whether it is due, or at least half of its wait has passed."""
        assert self.due_at is not None
        return self.due_at <= now or (self.polled_at > NEVER and self.due_at - now <= now - self.polled_at)

    def is_healthy(self) -> bool:
        """Whether this process's last answer showed it running, so that polling it early does no harm."""
        return self.seen_at > NEVER and self.memory.failures == 0 and self.memory.doubt is None

    def __lt__(self, other: PollEntry) -> bool:
        """Order entries with equal times in a heap."""
        return self.task_id < other.task_id


Heap = list[tuple[float, PollEntry]]


class _DueWatches:
    """Due watches: new ones and those that were polled before, which take turns."""

    def __init__(self) -> None:
        self.new: deque[PollEntry] = deque()  # never polled, in the order added
        self.due: Heap = []  # by the time until which the poll may be delayed
        self._is_turn_of_new = True
        self._is_turn_of_last = False  # whether the next new watch is taken from the end

    def __len__(self) -> int:
        return len(self.new) + len(self.due)

    def add(self, entry: PollEntry, due_at: float) -> None:
        if entry.memory.polls == 0:
            self.new.append(entry)
        else:
            grace_s = due_at - entry.polled_at if entry.polled_at > NEVER else 0.0
            heapq.heappush(self.due, (due_at + grace_s, entry))

    def drop_stale(self, now: float) -> None:
        """Drop entries at both ends that are no longer due."""
        due, new = self.due, self.new
        while due and ((due_at := due[0][1].due_at) is None or due_at > now):
            heapq.heappop(due)
        while new and not new[0].is_due(now):
            new.popleft()
        while new and not new[-1].is_due(now):
            new.pop()

    def pop(self) -> PollEntry:
        """Remove and return the next one; there must be one."""
        is_new = bool(self.new) and (self._is_turn_of_new or not self.due)
        self._is_turn_of_new = not is_new
        if not is_new:
            return heapq.heappop(self.due)[1]
        is_last, self._is_turn_of_last = self._is_turn_of_last, not self._is_turn_of_last
        return self.new.pop() if is_last else self.new.popleft()


class PollQueue:
    """Entries by task id, and their order. An entry that was rescheduled or forgotten also stays at its old position,
    where it is skipped later."""

    def __init__(self) -> None:
        self._entries: dict[str, PollEntry] = {}
        self._calendar: dict[int, list[PollEntry]] = {}  # by the second in which they become due
        self._seconds: list[int] = []  # the seconds of the calendar, a heap
        self._opened = NEVER  # the last second that was taken out of the calendar
        self._near: Heap = []  # entries that were taken out of the calendar, by due time
        self._single = _DueWatches()  # due watches that were added alone or with few others
        self._bulk = _DueWatches()  # due watches that were added in bulk
        self._bulk_revisions: set[int] = set()  # the revisions that bulk additions share
        self._is_turn_of_bulk = False

    def __iter__(self) -> Iterator[PollEntry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, task_id: str) -> PollEntry | None:
        return self._entries.get(task_id)

    def holds(self, entry: PollEntry) -> bool:
        """Whether this entry is still valid: neither withdrawn nor replaced by a new generation."""
        return self._entries.get(entry.task_id) is entry

    def add(self, state: WatchState, *, added_at: float) -> PollEntry:
        """Add an entry, replacing an older generation, and return it. Call `schedule` for it next."""
        self.forget(state.task_id)
        entry = self._entries[state.task_id] = PollEntry(
            state.task_id,
            state.generation,
            shared_memory(state.memory),
            state.action,
            state.give_up_after_s,
            added_at,
            state.blocked_before_s,
            state.revision,
            began_at=added_at,
        )
        return entry

    def mark_bulk(self, states: Iterable[WatchState]) -> None:
        """Recognize bulk additions among these watches: watches with the same revision were added in one
        transaction."""
        if not len(self._bulk) and len(self._bulk_revisions) > MAX_BULKS:
            self._bulk_revisions.clear()
        together = Counter(state.revision for state in states)
        self._bulk_revisions |= {revision for revision, count in together.items() if count > BULK}

    def forget(self, task_id: str) -> None:
        """Never poll it again."""
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            self.take(entry)

    def clear(self) -> None:
        for entry in self._entries.values():
            self.take(entry)
        self._entries.clear()

    def schedule(self, entry: PollEntry, due_at: float) -> None:
        entry.due_at = due_at
        second = int(due_at)
        if second <= self._opened:
            heapq.heappush(self._near, (due_at, entry))
        elif second in self._calendar:
            self._calendar[second].append(entry)
        else:
            self._calendar[second] = [entry]
            heapq.heappush(self._seconds, second)

    def schedule_first(self, entry: PollEntry, now: float) -> None:
        """Poll it before all others."""
        entry.due_at = now
        heapq.heappush(self._single.due, (NEVER, entry))

    def next_at(self, now: float) -> float:
        """When the next entry is due, or up to a second earlier; infinity if the queue is empty."""
        self._collect(now)
        single, bulk = self._single, self._bulk
        if single.due or single.new or bulk.due or bulk.new:
            return now
        if self._near:
            return self._near[0][0]
        return float(self._seconds[0]) if self._seconds else math.inf

    def count_due(self, now: float) -> int:
        """The approximate number of due entries; 0 only if none is due."""
        self._collect(now)
        return len(self._single) + len(self._bulk)

    def pop(self, now: float) -> PollEntry | None:
        """Take the next due entry to poll it."""
        self._collect(now)
        single, bulk = self._single, self._bulk
        if bulk.due or bulk.new:
            is_bulk = self._is_turn_of_bulk or not (single.due or single.new)
        elif single.due or single.new:
            is_bulk = False
        else:
            return None
        self._is_turn_of_bulk = not is_bulk
        return self.take((bulk if is_bulk else single).pop())

    def pop_early(self, now: float) -> PollEntry | None:
        """Take the next entry to poll it, whether or not it is due."""
        entry = self.pop(now)
        if entry is None and (first := next(self._pop_each(), None)) is not None:
            entry = self.take(first[-1])
        return entry

    def pop_batch(self, fits: Callable[[PollEntry], bool], *, most: int, now: float) -> list[PollEntry]:
        """Take at most `most` more entries that fit, to poll them in the same request. At least half of the wait of
        each has passed. If one request can hold every entry, all healthy ones are taken, too."""
        all_fit_in = len(self._entries) <= most + 1
        batch: list[PollEntry] = []
        passed = []
        for queue, at, entry in islice(self._pop_each(), most * SCANNED_PER_PLACE):
            if (entry.may_share_request(now) or (all_fit_in and entry.is_healthy())) and fits(entry):
                batch.append(self.take(entry))
                if len(batch) == most:
                    break
            else:
                passed.append((queue, at, entry))
        for queue, at, entry in reversed(passed):
            if isinstance(queue, deque):
                queue.appendleft(entry)
            else:
                heapq.heappush(queue, (at, entry))
        return batch

    def _pop_each(self) -> Iterator[tuple[Heap | deque[PollEntry], float, PollEntry]]:
        """Remove entries one by one: first the due ones, then those due next. Yields the queue of the entry, its place
        in a heap, and the entry."""
        for queue in (self._single.due, self._single.new, self._bulk.due, self._bulk.new, self._near):
            while queue or (queue is self._near and self._open_second(math.inf)):
                if not queue:
                    continue  # every entry of this second was rescheduled or forgotten
                at, entry = (NEVER, queue.popleft()) if isinstance(queue, deque) else heapq.heappop(queue)
                if entry.due_at is not None and (queue is not self._near or entry.due_at == at):
                    yield queue, at, entry

    def _collect(self, now: float) -> None:
        """Move entries that have become due into their queue, and drop those that are no longer due."""
        while self._seconds and self._seconds[0] <= now:
            self._open_second(now)
        near, single, bulk = self._near, self._single, self._bulk
        while near and (near[0][0] <= now or near[0][1].due_at != near[0][0]):
            due_at, entry = heapq.heappop(near)
            if entry.due_at == due_at:
                (bulk if entry.revision in self._bulk_revisions else single).add(entry, due_at)
        if single.due or single.new:
            single.drop_stale(now)
        if bulk.due or bulk.new:
            bulk.drop_stale(now)

    def _open_second(self, now: float) -> bool:
        """Take the next second out of the calendar if it has begun by `now`. Returns whether there was such a
        second."""
        if not self._seconds or self._seconds[0] > now:
            return False
        second = self._opened = heapq.heappop(self._seconds)
        for entry in self._calendar.pop(second):
            if entry.due_at is not None and int(entry.due_at) == second:
                heapq.heappush(self._near, (entry.due_at, entry))
        return True

    def take(self, entry: PollEntry) -> PollEntry:
        """Take out an entry as if it were being polled, and return it."""
        entry.due_at = None
        return entry
