"""What daemons store about their sources, and about the durations of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.domain.durations.table import DurationKey, Table, table, text
from bridge.domain.source import SourceFacts
from bridge.store.read_store import ReadStore
from bridge.store.records import SOURCES
from bridge.store.rows import plain
from bridge.store.sql_session import Finder
from bridge.store.statements import SQL


class RecordStore(ReadStore):
    """`ports.SourceRecords` and `ports.Durations`. A crash of a PostgreSQL server may undo the last second."""

    def record_sources(self, facts: Sequence[SourceFacts]) -> None:
        latest = {(one.daemon, one.source, one.path): SOURCES.row(one) for one in facts}
        with self._database.jot() as session:
            session.run(SQL["records.set_sources"], [latest[key] for key in sorted(latest)])

    def learn(self, fresh: Mapping[DurationKey, Table]) -> Mapping[DurationKey, Table]:
        if not fresh:
            return {}
        merged: dict[DurationKey, Table] = {}
        with self._database.jot() as session:
            session.run(SQL["records.add_durations"], [(*map(plain, key), text(Table())) for key in sorted(fresh)])
            for key, seen in sorted(fresh.items()):  # in one order, so two daemons never wait for each other
                name = {field: plain(value) for field, value in key._asdict().items()}
                stored = durations(session, "records.locked_durations", **name)
                merged[key] = next(iter(stored.values()), None) or Table()
                merged[key].absorb(seen)
                session.execute(SQL["records.set_durations"], **name, sums=text(merged[key]))
        return merged


def durations(session: Finder, name: str = "records.durations", **values: object) -> dict[DurationKey, Table | None]:
    """What this statement finds; None where the table cannot be read."""
    return {DurationKey(*key): _table(sums) for *key, sums in session.find(SQL[name], **values)}


def _table(sums: str) -> Table | None:
    try:
        return table(sums)
    except (ValueError, TypeError):
        return None
