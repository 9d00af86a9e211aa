"""What the engine asks the store to commit; each value is one all-or-nothing change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.domain.delivery import AttemptMade
from bridge.domain.event import Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import Kind, Snapshot
from bridge.domain.watch import Memory


class Note(NamedTuple):
    """One poll, written down lazily: nothing is told because of it, and losing the last second of them is fine.

    `kind` and `detail` are counted per watch for `explain`; `next_poll_why` says why the next poll is then.
    """

    key: WatchKey
    generation: int
    memory: Memory
    kind: Kind
    detail: str
    at: float
    next_poll_at: float | None
    next_poll_why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A transition of one watch, with the event it causes. Applied only while the stored watch is live and of
    the same generation; otherwise nothing happens and nothing is told."""

    note: Note
    ends: bool
    topic: Topic | None
    topic_part: str
    reason: str | None
    snapshot: Snapshot | None
    provider: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What outlives a restart about an account."""

    account: str
    blocked_at: float | None = None  # None: not blocked
    reason: str = ""
    count: int = 0  # blocks so far
    blocked_s: float = 0.0  # seconds blocked in all, without the present block
    paused_until: float | None = None  # by Retry-After


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """An account was blocked or restored. `count` numbers its blocks; `blocked_s` is the total when restored."""

    account: str
    blocked: bool
    reason: str
    count: int
    blocked_s: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPaused:
    """The provider named a time (Retry-After) before which nothing is sent for this account."""

    account: str
    until_at: float


Change = TaskChange | AccountChange | AccountPaused | AttemptMade


def weight(change: Change) -> int:
    """About how many bytes of the provider's own it brings into the store."""
    if not isinstance(change, TaskChange) or change.snapshot is None:
        return 0
    total, left = 0, [change.snapshot.message, change.snapshot.result, change.snapshot.kept]
    while left:  # no recursion: nothing bounds how deep they are
        value: Any = left.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
        else:
            total += 8
    return total
