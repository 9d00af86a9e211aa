"""What a poll leaves in a store that is no transition: the watch's memory, its schedule, and the answers counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

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
        self._rows: dict[tuple[int, Kind], tuple[int, float, float, str]] = {}

    def add(self, watch_id: int, note: Note) -> None:
        """Count one answer."""
        count, first_at, _, _ = self._rows.get((watch_id, note.kind), (0, note.at, 0.0, ""))
        self._rows[watch_id, note.kind] = (count + 1, first_at, note.at, plain(note.detail))

    def rows(self) -> list[Row]:
        """Watch, kind, how many, when first and last, and the last one's detail; in the order of the watches."""
        return [(watch_id, kind, *counted) for (watch_id, kind), counted in sorted(self._rows.items())]


@dataclass(slots=True)
class Noted:
    """What many notes come to: of each watch the last, and all answers."""

    memories: dict[int, Row] = field(default_factory=dict)  # `memory_and_schedule` by watch_id
    counts: ReadingCounts = field(default_factory=ReadingCounts)
    facts: list[Row] = field(default_factory=list)  # watch_id, at, what, detail

    def take(self, notes: Sequence[Note], known: Mapping[Row, Row]) -> None:
        """`known` holds watch_id, phase and polls of the live ones among the notes' (account, task, generation)."""
        last = dict(known)
        for note in notes:
            identity = (*note.key, note.generation)
            if identity not in last:
                continue
            watch_id, phase, polls = last[identity]
            self.counts.add(watch_id, note)
            if note.memory.polls < polls:
                continue  # a later poll has been committed before this one was noted
            self.memories[watch_id] = memory_and_schedule(watch_id, note)
            if note.memory.phase != phase:
                self.facts.append((watch_id, note.at, note.memory.phase, plain(note.detail)))
            last[identity] = (watch_id, note.memory.phase, note.memory.polls)


def identities(notes: Sequence[Note]) -> set[Row]:
    """The (account, task, generation) that they are about. BridgeBug when one of them is an end."""
    for note in notes:
        if note.memory.phase not in LIVE:
            raise BridgeBug(f"{note.key}: an end must be committed with its event, not noted")
    return {(*note.key, note.generation) for note in notes}


def memory_and_schedule(watch_id: int, note: Note) -> Row:
    """watch_id, `memory_row`, next_poll_at, next_poll_why, and the instant of the poll."""
    return (watch_id, *memory_row(note.memory), note.next_poll_at, plain(note.next_poll_why), note.at)
