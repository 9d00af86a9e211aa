"""Answers as they are counted, for `explain`."""

from __future__ import annotations

from bridge.domain.change import Note
from bridge.domain.task import Kind
from bridge.store.rows import Row, plain


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
