"""When each task was last polled, for its page."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from bridge.domain.change import Change, Note, TaskChange
from bridge.domain.ids import WatchKey
from bridge.domain.views import WatchDetails

MOST_TASKS: Final = 10_000  # maximum number of tasks; those polled longest ago are dropped
MOST_POLLS: Final = 64  # maximum number of polls for a task; the oldest are dropped


class PollRecord:
    """The times of the last polls, in memory only: at most 10 MB, for 10,000 tasks with 64 polls each.

    After a restart, `last_polls` uses what the store knows: when each kind of answer came first and last. Storing every
    time would cost a write for each poll.
    """

    def __init__(self) -> None:
        self._polls: OrderedDict[WatchKey, tuple[int, array[float]]] = OrderedDict()

    def committed(self, changes: Sequence[Change]) -> None:
        self.noted([change.note for change in changes if isinstance(change, TaskChange)])

    def noted(self, notes: Iterable[Note]) -> None:
        polls = self._polls
        for note in notes:
            generation, instants = polls.get(note.key) or (0, None)
            if instants is None or generation != note.generation:
                polls[note.key] = (note.generation, array("d", (note.at,)))
            else:
                instants.append(note.at)
                if len(instants) > MOST_POLLS:
                    del instants[0]
            polls.move_to_end(note.key)
        while len(polls) > MOST_TASKS:
            polls.popitem(last=False)

    def of(self, key: WatchKey, generation: int) -> Sequence[float]:
        """The last known polls of this generation of a task, the oldest first."""
        known, instants = self._polls.get(key) or (0, ())
        return tuple(instants) if known == generation else ()


def last_polls(record: PollRecord, story: WatchDetails) -> Sequence[float]:
    """When a task was polled, the oldest first: first the times in the store, then those of this process."""
    state = story.watch.state
    kept = record.of(state.key, state.generation)
    begun = kept[0] if kept else float("inf")
    stored = sorted({at for one in story.readings for at in (one.first_at, one.last_at) if at < begun})
    return [*stored, *kept][-MOST_POLLS:]
