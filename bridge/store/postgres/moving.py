"""Moving: a whole store out of a database, or into one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bridge.domain.shares import slot_of
from bridge.errors import StoreError
from bridge.store.postgres.database import one
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import Part, lock_store
from bridge.store.rows import Row, json_text
from bridge.store.tables import TABLES, Contents, carried, check_count, select

WITHIN_S: Final = 3600.0  # the server's silence while it copies

_UNLIMITED: Final = """
    SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = 0
"""
_FETCHED: Final = 2000  # rows at a time
_OWN: Final[Mapping[str, tuple[str, ...]]] = {"watches": ("slot", "urls"), "deliveries": ("slot",)}
_KEYS: Final = {"watches": "watch_id", "history": "history_id", "deliveries": "delivery_id"}


@dataclass(frozen=True, slots=True)
class _Contents:
    """`tables.Contents` on PostgreSQL."""

    link: Link
    revision: int

    def rows(self, table: str) -> Iterator[Row]:
        with self.link.cursor(name=f"all_{table}") as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(select(table))
            yield from cursor


class MovingPart(Part):
    """See `whole.Store`."""

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """See `whole.Store.contents`."""
        with self._database.alone() as link, link.patience(WITHIN_S):
            link.execute(_UNLIMITED)
            lock_store(link)
            yield _Contents(link, one(link.execute("SELECT revision FROM genbridge_store"))[0])

    def fill(self, contents: Contents) -> Mapping[str, int]:
        """See `whole.Store.fill`."""
        counts = {}
        with self._database.write() as link, link.patience(WITHIN_S):
            link.execute(_UNLIMITED)
            lock_store(link)
            for table in TABLES:
                if _has_rows(link, table):
                    raise StoreError(f"store {self._database.place} is not empty; name another one")
            slots = _Slots()
            for table in TABLES:
                counts[table] = _copy(link, table, slots.added(table, carried(contents, table)))
                there = one(link.execute(f"SELECT count(*) FROM {table}"))[0]  # noqa: S608 - a name of ours
                check_count(table, given=counts[table], there=there)
            for table, key in _KEYS.items():
                link.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), max({key})) FROM {table} "  # noqa: S608
                    f"HAVING max({key}) IS NOT NULL"
                )
            link.execute("UPDATE genbridge_store SET revision = %s", (contents.revision,))
            self._touch(link)
            link.execute(f"ANALYZE {', '.join(TABLES)}")
        return counts


class _Slots:
    """What PostgreSQL keeps besides: found out while the tables pass by in their order."""

    def __init__(self) -> None:
        self._of_watch: dict[int, int] = {}
        self._of_event: dict[str, int] = {}

    def added(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows with the columns of `_OWN`."""
        columns = TABLES[table]
        for row in rows:
            named = dict(zip(columns, row, strict=True))
            match table:
                case "watches":
                    slot = self._of_watch[named["watch_id"]] = slot_of(named["task_id"])
                    snapshot = named["snapshot"]
                    yield (*row, slot, None if snapshot is None else json_text(json.loads(snapshot)["urls"]))
                case "events":
                    self._of_event[named["event_id"]] = slot_of(named["subject"] or named["account"])
                    yield row
                case "deliveries" if named["watch_id"] is None:
                    yield (*row, self._of_event[named["event_id"]])
                case "deliveries":
                    yield (*row, self._of_watch[named["watch_id"]])
                case _:
                    yield row


def _copy(link: Link, table: str, rows: Iterator[Row]) -> int:
    columns = ", ".join((*TABLES[table], *_OWN.get(table, ())))
    number = 0
    with link.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
            number += 1
    return number


def _has_rows(link: Link, table: str) -> bool:
    return bool(one(link.execute(f"SELECT EXISTS (SELECT FROM {table})"))[0])  # noqa: S608 - a name of ours
