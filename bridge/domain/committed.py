"""The data for followers of a store: the events of its log, and the rows that have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.domain.views import DeliveryView, WatchView

AGAIN_FACTS: Final = 100  # the newest are read again: on PostgreSQL, lower ids may become visible later
AGAIN_S: Final = 10.0  # outcomes of this period are read again, for the same reason


class LoggedEvent(NamedTuple):
    """One event of the log. `body` is its bytes in the documented format; None when they were removed."""

    number: int
    topic: str
    account: str
    subject: str
    event_id: str
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """The events after a position in the log. Continue reading at `position`. All events from `oldest` on are kept.

    `is_held`: an open transaction may still commit the next event, so read again soon. `is_gone`: the events after the
    position are lost, because retention removed them or a backup was restored; only new events follow.
    """

    events: Sequence[LoggedEvent]
    position: int
    oldest: int
    newest: int
    is_held: bool = False
    is_gone: bool = False


class ChangeMarks(NamedTuple):
    """How far changes have been read: the store's revision, the last fact about a task, the last delivery, and the time
    of the last outcome."""

    revision: int = 0
    fact: int = 0
    delivery: int = 0
    settled_at: float = 0.0

    def earlier(self) -> ChangeMarks:
        """Slightly earlier marks, so that rows that became visible late are read, too."""
        fact, delivery = max(0, self.fact - AGAIN_FACTS), max(0, self.delivery - AGAIN_FACTS)
        return self._replace(fact=fact, delivery=delivery, settled_at=self.settled_at - AGAIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRows:
    """The watches and deliveries that have changed, in their current state. `is_cut`: there are more than requested."""

    marks: ChangeMarks
    watches: list[WatchView]
    deliveries: list[DeliveryView]
    is_cut: bool


def newest_changes(wanted: set[int], others: set[int], most: int) -> tuple[list[int], bool]:
    """The wanted ids, then the newest of the others, and whether any are left out."""
    rest = sorted(others - wanted, reverse=True)
    room = max(0, most - len(wanted))
    return [*wanted, *rest[:room]], len(rest) > room
