"""What deliveries wait for, besides their next attempt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from bridge.control.formats import rfc3339
from bridge.control.pausing import after_pause, how_long
from bridge.control.store_now import StoreNow
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.pause import Pause, PauseOf, lasting
from bridge.domain.views import DeliveryView, QueueWait

QueueWaits = Mapping[tuple[str, str], QueueWait]
"""The waits of queues, by endpoint and target."""


class WaitCause(StrEnum):
    UNKNOWN = "unknown"  # its endpoint is not in the settings
    DISABLED = "disabled"  # its endpoint answered 410
    PAUSED = "paused"  # by a person
    ASKED = "asked"  # the receiver asked for a wait, or the archive cannot be used
    ORDER = "order"  # an earlier delivery is retried first


class DeliveryWait(NamedTuple):
    """`detail`: the answer that caused the wait. `until_at`: None if it is open-ended or unknown."""

    cause: WaitCause
    detail: str = ""
    until_at: float | None = None

    @property
    def is_off(self) -> bool:
        """Whether nothing is sent to the endpoint."""
        return self.cause in {WaitCause.UNKNOWN, WaitCause.DISABLED, WaitCause.PAUSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryWaits:
    """What the deliveries of a store wait for at one instant."""

    now: float
    endpoints: Collection[str]  # those of the settings
    disabled: Mapping[str, str]  # with the answer
    paused: Mapping[str, Pause]
    queues: QueueWaits

    def off(self, endpoint: str) -> DeliveryWait | None:
        """Why the endpoint gets nothing until a person acts or its pause ends; None if it gets deliveries."""
        if endpoint not in self.endpoints:
            return DeliveryWait(WaitCause.UNKNOWN)
        if endpoint in self.disabled:
            return DeliveryWait(WaitCause.DISABLED, self.disabled[endpoint])
        if endpoint in self.paused:
            return DeliveryWait(WaitCause.PAUSED, until_at=self.paused[endpoint].until_at)
        return None

    def why_off(self, endpoint: str) -> str | None:
        """The same as one line, with the command that ends it."""
        match self.off(endpoint):
            case DeliveryWait(cause=WaitCause.UNKNOWN):
                return "this endpoint is not in the settings"
            case DeliveryWait(cause=WaitCause.DISABLED, detail=why):
                return f"the endpoint is disabled: {why}; `genbridge enable {endpoint}` sends again"
            case DeliveryWait(cause=WaitCause.PAUSED):
                return f"the endpoint is paused {how_long(self.paused[endpoint], self.now)}"
            case _:
                return None

    def of(self, view: DeliveryView) -> DeliveryWait | None:
        """What a delivery waits for; None if only its next attempt is due, or nothing is left to send."""
        endpoint = view.endpoint
        if view.state is not DeliveryState.WAITING:
            return None
        if off := self.off(endpoint):
            return off
        queue = self.queues.get((endpoint, view.target))
        if queue is None or (view.next_attempt_at or 0.0) > queue.until_at:
            return None
        return DeliveryWait(WaitCause.ASKED if queue.reason else WaitCause.ORDER, queue.reason, queue.until_at)

    def shown(self, views: Iterable[DeliveryView]) -> list[DeliveryView]:
        """The same deliveries. For a paused endpoint, the next attempt is at the end of the pause (None: open-ended).
        There is none for an endpoint that is not in the settings."""

        def at(view: DeliveryView) -> float | None:
            if view.endpoint not in self.endpoints:
                return None
            pause = self.paused.get(view.endpoint)
            return view.next_attempt_at if pause is None else after_pause(view.next_attempt_at, pause)

        return [view._replace(next_attempt_at=at(view)) if view.state == "waiting" else view for view in views]


def delivery_waits(at: StoreNow) -> DeliveryWaits:
    store, file, now = at
    return DeliveryWaits(
        now=now,
        endpoints=file.queues,
        disabled={one.endpoint: one.reason for one in store.disabled_endpoints()},
        paused=lasting(store.pauses(), PauseOf.ENDPOINT, now),
        queues=lasting_queue_waits(store.queue_waits(), file.queues, now),
    )


def lasting_queue_waits(found: Iterable[QueueWait], endpoints: Collection[str], now: float) -> QueueWaits:
    """The waits of these endpoints that have not ended yet."""
    return {(one.endpoint, one.target): one for one in found if one.until_at > now and one.endpoint in endpoints}


def why_queue_waits(wait: DeliveryWait) -> str:
    """`nothing is sent there until 2026-01-02T03:04:05.000Z: HTTP 429 Too Many Requests`, or another reason."""
    until = rfc3339(wait.until_at)
    if wait.cause is WaitCause.ASKED:
        return f"nothing is sent there until {until}: {wait.detail}"
    return f"an earlier message is retried at {until}"
