"""Durations: what all daemons have learned of how long tasks take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.domain.durations.knowledge import Key
from bridge.domain.durations.table import Table
from bridge.store import rows
from bridge.store.postgres.part import Part

_ALL: Final = rows.SELECT_DURATIONS + " FROM durations"
_MAKE: Final = "INSERT INTO durations (account, action, variant, sums) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
_LOCKED: Final = _ALL + " WHERE account = %s AND action = %s AND variant = %s FOR UPDATE"
_PUT: Final = "UPDATE durations SET sums = %s WHERE account = %s AND action = %s AND variant = %s"


class DurationsPart(Part):
    """`ports.Durations` on PostgreSQL."""

    def durations(self) -> Mapping[Key, Table | None]:
        """See `ports.Durations.durations`."""
        with self._database.read() as link:
            return rows.durations(link.execute(_ALL))

    def learn(self, fresh: Mapping[Key, Table]) -> Mapping[Key, Table]:
        """See `ports.Durations.learn`. A crash of the server may take back the last second of it."""
        if not fresh:
            return {}
        with self._database.jot() as link:
            merged: dict[Key, Table] = {}
            for key, seen in sorted(fresh.items()):  # in one order, so that two daemons never wait for one another
                link.execute(_MAKE, rows.durations_row(key, Table()))
                stored = rows.durations(link.execute(_LOCKED, rows.durations_row(key, Table())[:3]))
                merged[key] = next(iter(stored.values()), None) or Table()
                merged[key].absorb(seen)
                *names, sums = rows.durations_row(key, merged[key])
                link.execute(_PUT, (sums, *names))
            return merged
