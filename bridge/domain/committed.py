"""The data for followers of a store: the events of its log, and the rows that have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.domain.views import DeliveryView, WatchView

AGAIN_FACTS: Final = 100  # of the newest, read again: on PostgreSQL, lower ids may become visible later
AGAIN_S: Final = 10.0  # the same for outcomes


class LoggedEvent(NamedTuple):
    """One event of the log. `body` is its documented bytes; None when they were removed."""

    number: int
    topic: str
    account: str
    subject: str
    event_id: str
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """What follows a position in the log. Reading continues at `position`. From `oldest` on every event is kept.

    `is_held`: an open transaction may still commit the event that comes next, so ask again soon. `is_gone`: what
    follows the position is not known, as retention has removed it or a backup was restored; only new events follow.
    """

    events: Sequence[LoggedEvent]
    position: int
    oldest: int
    newest: int
    is_held: bool = False
    is_gone: bool = False


class ChangeMarks(NamedTuple):
    """Up to where changes have been read: the store's revision, the last fact about a task, the last delivery, and when
    the last delivery was settled."""

    revision: int = 0
    fact: int = 0
    delivery: int = 0
    settled_at: float = 0.0

    def earlier(self) -> ChangeMarks:
        """A little before, so that what became visible late is read, too."""
        fact, delivery = max(0, self.fact - AGAIN_FACTS), max(0, self.delivery - AGAIN_FACTS)
        return self._replace(fact=fact, delivery=delivery, settled_at=self.settled_at - AGAIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRows:
    """The watches and deliveries that have changed, as they are now. `is_cut`: there are more than were asked for."""

    marks: ChangeMarks
    watches: list[WatchView]
    deliveries: list[DeliveryView]
    is_cut: bool
