"""Which endpoints were notified that a task finished, and in which state their deliveries are."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, NamedTuple

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import END_TOPICS
from bridge.domain.ids import ARCHIVE
from bridge.domain.views import DeliveryView

HELD: Final = "held"  # it waits, and its endpoint is disabled or paused
_WORST_FIRST: Final = ("dead", HELD, "waiting", "accepted", "canceled")


class NotificationState(NamedTuple):
    """The state of one endpoint's delivery about a finish: a `DeliveryState`, or `held`."""

    endpoint: str
    state: str
    next_attempt_at: float | None = None


def notification_states(deliveries: Iterable[DeliveryView], held: Container[str] = ()) -> list[NotificationState]:
    """For each endpoint the worst state of its deliveries about the last finish, without copies to the archive.

    `held`: the endpoints that are disabled or paused.
    """
    finishes = [one for one in deliveries if one.topic in END_TOPICS and one.endpoint != ARCHIVE]
    last = max((one.created_at for one in finishes), default=0.0)
    found: dict[str, NotificationState] = {}
    for one in finishes:
        if one.created_at < last:
            continue  # about an earlier generation
        is_held = one.state is DeliveryState.WAITING and one.endpoint in held
        state = NotificationState(one.endpoint, HELD if is_held else str(one.state), one.next_attempt_at)
        known = found.get(one.endpoint)
        if known is None or _rank(state) < _rank(known):
            found[one.endpoint] = state
    return list(found.values())


def _rank(one: NotificationState) -> int:
    return _WORST_FIRST.index(one.state)
