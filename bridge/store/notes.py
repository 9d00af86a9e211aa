"""What daemons note, and what a poll adds to a watch: its memory, its schedule, and the counts of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.source import SourceFacts
from bridge.domain.task import LIVE, Phase, ReadingKind
from bridge.errors import BridgeBug
from bridge.store.records import SOURCES
from bridge.store.rows import Row, plain
from bridge.store.sql_session import Finder, OpenStore, Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import CALLBACK, add_facts, polled_row

if TYPE_CHECKING:
    from bridge.domain.change import Note


class NoteStore(OpenStore):
    """What daemons note: polls without a transition, what sources have seen, and how long tasks take. A crash of a
    PostgreSQL server may undo the last second."""

    def note(self, notes: Sequence[Note]) -> None:
        """See `ports.Watches.note`. Only the last note of each watch is written, but the answers of all notes are
        counted, also if the task has finished since. BridgeBug if a note finishes its task."""
        by_watch: dict[Row, list[Note]] = {}
        for note in notes:
            if note.memory.phase not in LIVE:
                raise BridgeBug(f"{note.key}: a finish must be committed with its event, not noted")
            by_watch.setdefault((*note.key, note.generation), []).append(note)
        unchanged: list[Row] = []
        moved: list[Row] = []
        polls = PollRows()
        with self._database.write_unsynced() as session:
            session.guard()
            for *key, watch_id, phase, count in session.run(SQL["watches.noted"], by_watch):
                if phase == Phase.WITHDRAWN:
                    continue
                before, last = phase, None
                for note in by_watch[tuple(key)]:
                    polls.count(watch_id, note)
                    if note.memory.polls < count or phase not in LIVE:
                        continue  # a later poll was committed before this one
                    last, count = note, note.memory.polls
                    polls.add(watch_id, note, before=phase, detail=note.detail)
                    phase = note.memory.phase
                if last is not None:
                    (unchanged if phase == before else moved).append(polled_row(watch_id, last))
            session.run(SQL["watches.note"], unchanged)
            session.run(SQL["watches.note_phase"], moved)
            polls.write(session)

    def record_sources(self, facts: Sequence[SourceFacts]) -> None:
        latest = {(one.daemon, one.source, one.path): SOURCES.row(one) for one in facts}
        with self._database.write_unsynced() as session:
            session.run(SQL["records.set_sources"], [latest[key] for key in sorted(latest)])

    def learn(self, fresh: Mapping[DurationKey, Table]) -> Mapping[DurationKey, Table]:
        names: dict[Row, DurationKey] = {tuple(map(plain, key)): key for key in sorted(fresh)}
        merged: dict[Row, Table] = {}
        with self._database.write_unsynced() as session:
            session.run(SQL["records.add_durations"], [(*name, Table().to_text()) for name in names])
            for *name, sums in session.run(SQL["records.locked_durations"], names):
                merged[tuple(name)] = _table(sums) or Table()
                merged[tuple(name)].absorb(fresh[names[tuple(name)]])
            session.run(SQL["records.set_durations"], [(*name, total.to_text()) for name, total in merged.items()])
        return {names[name]: total for name, total in merged.items()}


class PollRows:
    """What polls add to the counts of answers, one row for each watch and kind, and to the histories of watches."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, ReadingKind], list[Any]] = {}
        self._facts: list[Row] = []

    def count(self, watch_id: int, note: Note) -> None:
        row = self._counts.setdefault((watch_id, note.kind), [watch_id, note.kind, 0, note.at, 0.0, ""])
        row[2] += 1
        row[4:] = note.at, plain(note.detail)

    def add(self, watch_id: int, note: Note, *, before: str, detail: str) -> None:
        """Add the callback that caused the poll, and a new phase."""
        if note.heard is not None:
            self._facts.append((watch_id, note.heard.at, CALLBACK, plain(note.heard.detail)))
        if note.memory.phase != before:
            self._facts.append((watch_id, note.at, note.memory.phase, plain(detail)))

    def write(self, session: Session) -> None:
        """Write everything, sorted by watch."""
        session.run(SQL["watches.count_readings"], sorted(map(tuple, self._counts.values())))
        add_facts(session, self._facts)


def durations(session: Finder) -> dict[DurationKey, Table | None]:
    """How long each kind of task takes; None where that cannot be read."""
    return {DurationKey(*key): _table(sums) for *key, sums in session.find(SQL["records.durations"])}


def _table(sums: str) -> Table | None:
    try:
        return Table.from_text(sums)
    except (ValueError, TypeError):
        return None
