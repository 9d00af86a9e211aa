"""Durations: what is known of how long tasks take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.domain.durations.knowledge import Key
from bridge.domain.durations.table import Table
from bridge.store import rows
from bridge.store.sqlite.part import Part

_ALL: Final = rows.SELECT_DURATIONS + " FROM durations"
_ONE: Final = _ALL + " WHERE account = ? AND action = ? AND variant = ?"
_PUT: Final = """
    INSERT INTO durations (account, action, variant, sums) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (account, action, variant) DO UPDATE SET sums = ?4
"""


class DurationsPart(Part):
    """`ports.Durations` on SQLite."""

    def durations(self) -> Mapping[Key, Table | None]:
        """See `ports.Durations.durations`."""
        with self._database.read() as connection:
            return rows.durations(connection.execute(_ALL))

    def learn(self, fresh: Mapping[Key, Table]) -> Mapping[Key, Table]:
        """See `ports.Durations.learn`."""
        if not fresh:
            return {}
        with self._database.write() as connection:
            merged: dict[Key, Table] = {}
            for key, seen in fresh.items():
                stored = rows.durations(connection.execute(_ONE, rows.durations_row(key, seen)[:3]))
                merged[key] = next(iter(stored.values()), None) or Table()
                merged[key].absorb(seen)
                connection.execute(_PUT, rows.durations_row(key, merged[key]))
            return merged
