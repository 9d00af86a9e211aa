"""What a store holds, table by table: what is carried when a store moves from one engine to another.

In PostgreSQL some tables have columns besides, which follow from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from bridge.errors import StoreError
from bridge.store.rows import Row, plain

# Each after those it refers to.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "watches": (
        *("watch_id", "account", "task_id", "generation", "revision", "phase", "is_tombstone", "action"),
        *("give_up_after_s", "added_at", "blocked_before_s", "next_poll_at", "poll_asked_at", "polls", "failures"),
        *("doubt_kind", "doubt_answers", "doubt_since_at", "progress", "progress_told", "progress_told_at"),
        *("input_told", "ended_at", "source", "next_poll_why", "reason", "label", "endpoints", "meta", "snapshot"),
    ),
    "naming": ("source", "watch_id", "is_listed"),
    "readings": ("watch_id", "kind", "count", "first_at", "last_at", "last_detail"),
    "history": ("history_id", "watch_id", "at", "what", "detail"),
    "events": ("event_id", "topic", "account", "subject", "occurred_at"),
    "deliveries": (
        *("delivery_id", "event_id", "endpoint", "target", "watch_id", "is_live", "state", "attempts"),
        *("next_attempt_at", "created_at", "settled_at", "last_outcome", "last_detail", "body"),
    ),
    "attempts": ("delivery_id", "at", "outcome", "detail", "duration_s"),
    "accounts": ("account", "blocked_at", "reason", "count", "blocked_s", "paused_until"),
    "endpoints": ("endpoint", "disabled_at", "reason", "count", "fingerprint"),
    "cursors": ("source", "value"),
    "durations": ("account", "action", "variant", "sums"),
}
BOOLEANS: Final = frozenset({"is_tombstone", "input_told", "is_listed", "is_live"})


def select(table: str) -> str:
    """Every row, its columns as in `TABLES`, in an order that is the same in every engine: each primary key lies
    within the first three columns."""
    columns = TABLES[table]
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns[:3])}"  # noqa: S608 - names of ours


class Contents(Protocol):
    """A store at one instant; nobody changes it meanwhile."""

    @property
    def revision(self) -> int: ...

    def rows(self, table: str) -> Iterator[Row]:
        """Every row, as `select` has them."""


def carried(contents: Contents, table: str) -> Iterator[Row]:
    """The rows of a table as any engine takes them."""
    columns = TABLES[table]
    booleans = [place for place, column in enumerate(columns) if column in BOOLEANS]
    for row in contents.rows(table):
        made = [plain(value) if isinstance(value, str) else value for value in row]
        for place in booleans:
            made[place] = bool(made[place])
        yield tuple(made)


def check_count(table: str, *, given: int, there: int) -> None:
    """StoreError unless every row has arrived."""
    if given != there:
        raise StoreError(f"table {table}: {there} rows have arrived of {given}; nothing has been written")
