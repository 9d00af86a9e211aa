"""What daemons store about their sources, and about the durations of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.source import SourceFacts
from bridge.store import duration_rows
from bridge.store.daemon_records import SOURCES
from bridge.store.read_store import ReadStore
from bridge.store.statements import insert, put

_SET_SOURCES: Final = put("sources", "daemon, source, path")
_OF_KEY: Final = " WHERE account = :account AND action = :action AND variant = :variant"
_MAKE: Final = insert("durations")
_LOCKED: Final = duration_rows.SELECT_DURATIONS + " FROM durations" + _OF_KEY + " {postgres:FOR UPDATE}"
_PUT: Final = "UPDATE durations SET sums = :sums" + _OF_KEY  # noqa: S608 - text of ours


class RecordStore(ReadStore):
    """`ports.SourceRecords` and `ports.Durations`. A crash of a PostgreSQL server may undo the last second."""

    def record_sources(self, facts: Sequence[SourceFacts]) -> None:
        latest = {(one.daemon, one.source, one.path): SOURCES.row(one) for one in facts}
        with self._database.jot() as session:
            session.run(_SET_SOURCES, [latest[key] for key in sorted(latest)])

    def learn(self, fresh: Mapping[DurationKey, Table]) -> Mapping[DurationKey, Table]:
        if not fresh:
            return {}
        merged: dict[DurationKey, Table] = {}
        with self._database.jot() as session:
            session.run(_MAKE, [duration_rows.durations_row(key, Table()) for key in sorted(fresh)])
            for key, seen in sorted(fresh.items()):  # in one order, so two daemons never wait for each other
                account, action, variant, _ = duration_rows.durations_row(key, seen)
                name = {"account": account, "action": action, "variant": variant}
                stored = duration_rows.durations(session.find(_LOCKED, **name))
                merged[key] = next(iter(stored.values()), None) or Table()
                merged[key].absorb(seen)
                session.execute(_PUT, **name, sums=duration_rows.durations_row(key, merged[key])[-1])
        return merged
