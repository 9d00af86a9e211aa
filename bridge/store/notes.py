"""What a poll without a transition stores: the watch's memory, its schedule, and the counts of answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bridge.domain.task import LIVE, Kind
from bridge.errors import BridgeBug
from bridge.store.rows import Row, plain
from bridge.store.sql_session import Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import CALLBACK, add_facts, memory_row

if TYPE_CHECKING:
    from bridge.domain.change import Note


class ReadingCounts:
    """Counts of answers: one row for each watch and kind."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, Kind], list[Any]] = {}

    def add(self, watch_id: int, note: Note) -> None:
        """Count one answer."""
        row = self._rows.setdefault((watch_id, note.kind), [watch_id, note.kind, 0, note.at, 0.0, ""])
        row[2] += 1
        row[4:] = note.at, plain(note.detail)

    def rows(self) -> list[Row]:
        """In the order of the watches."""
        return sorted(map(tuple, self._rows.values()))


def write_notes(session: Session, notes: Iterable[Note]) -> None:
    """Write the last memory of each watch, and count all answers. BridgeBug when a note finishes its task."""
    by_watch: dict[Row, list[Note]] = {}
    for note in notes:
        if note.memory.phase not in LIVE:
            raise BridgeBug(f"{note.key}: an end must be committed with its event, not noted")
        by_watch.setdefault((*note.key, note.generation), []).append(note)
    memories: list[Row] = []
    facts: list[Row] = []
    counts = ReadingCounts()
    for account, task_id, generation, watch_id, phase, polls in session.run(SQL["watches.noted"], by_watch):
        if phase not in LIVE:
            continue
        last = None
        for note in by_watch[account, task_id, generation]:
            counts.add(watch_id, note)
            if note.memory.polls < polls:
                continue  # a later poll has been committed before this one was noted
            last, polls = note, note.memory.polls
            facts += facts_of(watch_id, note, before=phase, detail=note.detail)
            phase = note.memory.phase
        if last is not None:
            memories.append(memory_and_schedule(watch_id, last))
    session.run(SQL["watches.note"], memories)
    session.run(SQL["watches.count_readings"], counts.rows())
    add_facts(session, facts)


def facts_of(watch_id: int, note: Note, *, before: str, detail: str) -> list[Row]:
    """What the poll adds to the history: the callback that led to it, and a new phase."""
    found: list[Row] = []
    if note.heard is not None:
        found.append((watch_id, note.heard.at, CALLBACK, plain(note.heard.detail)))
    if note.memory.phase != before:
        found.append((watch_id, note.at, note.memory.phase, plain(detail)))
    return found


def memory_and_schedule(watch_id: int, note: Note) -> Row:
    """A row of `watches.note`."""
    return (watch_id, *memory_row(note.memory), note.next_poll_at, plain(note.next_poll_why), note.at)
