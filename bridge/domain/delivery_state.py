"""The states of a delivery, and the allowed changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class DeliveryState(StrEnum):
    WAITING = "waiting"  # an attempt changes it; after a crash the next daemon retries
    ACCEPTED = "accepted"  # by the receiver; only `redeliver` reopens it
    DEAD = "dead"  # no more retries; only `redeliver` reopens it
    CANCELED = "canceled"  # the task finished before this progress was accepted; an attempt in flight may be accepted


DELIVERY_FOLLOWS: Final[Mapping[DeliveryState, frozenset[DeliveryState]]] = {
    DeliveryState.WAITING: frozenset(
        {DeliveryState.WAITING, DeliveryState.ACCEPTED, DeliveryState.DEAD, DeliveryState.CANCELED}
    ),
    DeliveryState.ACCEPTED: frozenset({DeliveryState.WAITING}),
    DeliveryState.DEAD: frozenset({DeliveryState.WAITING}),
    DeliveryState.CANCELED: frozenset({DeliveryState.ACCEPTED}),
}

NOT_CHECKED: Final = "; warning: not checked: "  # follows the detail of an attempt whose answer could not be checked
