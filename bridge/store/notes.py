"""What a poll leaves in a store that is no transition: the watch's memory, its schedule, and the answers counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.domain.change import Note
from bridge.domain.task import LIVE, Kind
from bridge.errors import BridgeBug
from bridge.store.rows import Row, memory_row, plain

# For every engine: its rows are `memory_and_schedule`, under the name `new`.
SET_MEMORY: Final = """
    UPDATE watches SET phase = new.phase, polls = new.polls, failures = new.failures, doubt_kind = new.doubt_kind,
        doubt_answers = new.doubt_answers, doubt_since_at = new.doubt_since_at, progress = new.progress,
        progress_told = new.progress_told, progress_told_at = new.progress_told_at, input_told = new.input_told,
        next_poll_at = new.next_poll_at, next_poll_why = new.next_poll_why,
        poll_asked_at = CASE WHEN poll_asked_at > new.at THEN poll_asked_at END"""


class ReadingCounts:
    """Answers to be counted: one row for each watch and kind, however many there were."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, Kind], list[Any]] = {}

    def add(self, watch_id: int, note: Note) -> None:
        """Count one answer."""
        row = self._rows.setdefault((watch_id, note.kind), [watch_id, note.kind, 0, note.at, 0.0, ""])
        row[2] += 1
        row[4:] = note.at, plain(note.detail)

    def rows(self) -> list[Row]:
        """Watch, kind, how many, when first and last, and the last one's detail; in the order of the watches."""
        return sorted(map(tuple, self._rows.values()))


@dataclass(slots=True)
class Noted:
    """What many notes come to: of each watch the last, and all answers."""

    memories: list[Row] = field(default_factory=list)  # `memory_and_schedule`
    counts: ReadingCounts = field(default_factory=ReadingCounts)
    facts: list[Row] = field(default_factory=list)  # watch_id, at, what, detail

    def take(self, notes: Mapping[Row, Sequence[Note]], known: Iterable[Row]) -> None:
        """Those `by_watch`; `known` are account, task, generation, watch_id, phase and polls of those that live."""
        for account, task_id, generation, watch_id, phase, polls in known:
            last = None
            for note in notes[account, task_id, generation]:
                self.counts.add(watch_id, note)
                if note.memory.polls < polls:
                    continue  # a later poll has been committed before this one was noted
                last, polls = note, note.memory.polls
                if note.memory.phase != phase:
                    phase = note.memory.phase
                    self.facts.append((watch_id, note.at, phase, plain(note.detail)))
            if last is not None:
                self.memories.append(memory_and_schedule(watch_id, last))


def by_watch(notes: Iterable[Note]) -> dict[Row, list[Note]]:
    """The notes by the (account, task, generation) that they are about. BridgeBug when one of them is an end."""
    found: dict[Row, list[Note]] = {}
    for note in notes:
        if note.memory.phase not in LIVE:
            raise BridgeBug(f"{note.key}: an end must be committed with its event, not noted")
        found.setdefault((*note.key, note.generation), []).append(note)
    return found


def memory_and_schedule(watch_id: int, note: Note) -> Row:
    """watch_id, `memory_row`, next_poll_at, next_poll_why, and the instant of the poll."""
    return (watch_id, *memory_row(note.memory), note.next_poll_at, plain(note.next_poll_why), note.at)
