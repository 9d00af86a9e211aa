"""The tables of a store and their columns: everything that moves from one engine to another.

PostgreSQL has a few more columns, which are computed from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from bridge.store.rows import Row, plain

# Each table stands after those it refers to.
_COLUMNS: Final = {
    "watches": (
        "watch_id int, account text, task_id text, generation int, revision int, phase text, "
        "is_tombstone bool, action text, give_up_after_s float, added_at float, blocked_before_s float, "
        "next_poll_at float, poll_asked_at float, polls int, failures int, doubt_kind text, "
        "doubt_answers int, doubt_since_at float, progress float, progress_told float, "
        "progress_told_at float, input_told bool, ended_at float, source text, next_poll_why text, "
        "reason text, label text, endpoints text, meta text, snapshot text, asked_at float"
    ),
    "naming": "source text, watch_id int, is_listed bool",
    "readings": "watch_id int, kind text, count int, first_at float, last_at float, last_detail text",
    "history": "history_id int, watch_id int, at float, what text, detail text",
    "events": (
        "event_id text, topic text, account text, subject text, occurred_at float, number int, documented_at text"
    ),
    "event_bodies": "number int, body bytes",
    "forgotten": "only_row int, number int",
    "deliveries": (
        "delivery_id int, event_id text, endpoint text, target text, watch_id int, is_live bool, "
        "state text, attempts int, next_attempt_at float, created_at float, settled_at float, "
        "last_outcome text, last_detail text, address text, sent_so_far text, body bytes"
    ),
    "attempts": "delivery_id int, at float, outcome text, detail text, duration_s float",
    "accounts": ("account text, blocked_at float, reason text, count int, blocked_s float, paused_until float"),
    "holds": "account text, route text, held_until float, reason text",
    "endpoints": "endpoint text, disabled_at float, reason text, count int, fingerprint text",
    "health": (
        "endpoint text, failing_since float, failures int, reason text, told_at float, told_failures int, count int"
    ),
    "queues": "endpoint text, target text, held_until float, reason text, fingerprint text",
    "unread_answers": (
        "account text, word text, answers int, first_at float, last_at float, reason text, told_at float"
    ),
    "cursors": "source text, value text",
    "pauses": "what text, name text, since_at float, until_at float, before_s float",
    "sources": (
        "daemon text, source text, path text, read_at float, taken int, rejected int, left_alone int, "
        "error text, error_at float, is_failing bool, note text"
    ),
    "durations": "account text, action text, variant text, sums text",
    "keys": "purpose text, key bytes, created_at float",
    "forms": "form text, used_at float",
}
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    table: dict(column.split() for column in columns.split(",")) for table, columns in _COLUMNS.items()
}
"""Each table's columns with their types: int, float, text, bool or bytes."""
OWN: Final[Mapping[str, Sequence[str]]] = {"watches": ("slot", "urls"), "deliveries": ("slot",)}
"""Columns that PostgreSQL alone has, computed from the others."""


def select(table: str) -> str:
    """Every row with the columns of `TABLES`. Both engines have one order: each primary key lies within the first three
    columns."""
    columns = TABLES[table]
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(list(columns)[:3])}"  # noqa: S608 - names of ours


class Contents(Protocol):
    """A store at one instant. Nobody changes it meanwhile."""

    @property
    def revision(self) -> int: ...

    def rows(self, table: str) -> Iterator[Row]:
        """Every row, in the order of `select`."""


def carried(contents: Contents, table: str) -> Iterator[Row]:
    """The rows of a table with values that both engines accept."""
    booleans = [place for place, kind in enumerate(TABLES[table].values()) if kind == "bool"]
    for row in contents.rows(table):
        made = [plain(value) if isinstance(value, str) else value for value in row]
        for place in booleans:
            made[place] = bool(made[place])
        yield tuple(made)
