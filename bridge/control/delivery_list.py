"""Deliveries: listing them, sending them again, and enabling endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge.config.settings_file import SettingsFile
from bridge.control.delivery_waits import DeliveryWaits, delivery_waits, lasting_queue_waits, why_queue_waits
from bridge.control.formats import rfc3339
from bridge.control.lookup import known_endpoint, listed_endpoint
from bridge.control.paging import DELIVERIES, cursor_at, row_before
from bridge.control.store_now import StoreNow
from bridge.domain.event import TASK_TOPICS
from bridge.domain.filters import DeliveryFilter
from bridge.domain.quoting import shortened
from bridge.domain.views import DeliveryTotal, DeliveryView
from bridge.errors import UnknownError, UsageError

if TYPE_CHECKING:
    from bridge.store.command_store import CommandStore


TOO_WIDE: Final = "event_ids: give them, or at least one of state, since and topic; an endpoint alone is not enough"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryList:
    """Deliveries at one instant, with what they wait for. `next` is the cursor of the next page."""

    views: Sequence[DeliveryView]
    next: str | None
    waits: DeliveryWaits

    def json(self, *, attempts: bool = False) -> list[dict[str, Any]]:
        """For JSON; with `attempts`, each delivery has all its attempts."""
        return [
            {**delivery_json(view), **({"attempts_made": attempts_json(view)} if attempts else {})}
            for view in self.views
        ]

    def last_outcome(self, view: DeliveryView) -> str:
        """The result of the last attempt, and what the next attempt waits for."""
        wait = self.waits.of(view)
        why = None if wait is None or wait.is_off else why_queue_waits(wait)
        return "; ".join(filter(None, [view.last_detail or view.last_outcome, why]))


def list_deliveries(
    at: StoreNow, wanted: DeliveryFilter, *, limit: int | None = None, cursor: str | None = None
) -> DeliveryList:
    """These deliveries, the newest first, at most `limit`, from `cursor` on. UsageError for a wrong cursor, or an
    endpoint that neither the settings nor the store have."""
    listed_endpoint(at, wanted.endpoint)
    page = at.store.list_deliveries(wanted, before=row_before(DELIVERIES, cursor), limit=limit)
    return deliveries_at(at, page, following=cursor_at(DELIVERIES, page.next_before))


def event_deliveries(at: StoreNow, event_id: str) -> DeliveryList:
    """The deliveries of one event, with their attempts. UnknownError if the event does not exist."""
    found = at.store.list_deliveries(DeliveryFilter(event_ids=(event_id,)), attempts=True)
    if not found:
        raise unknown_event(event_id)
    return deliveries_at(at, found)


def deliveries_at(at: StoreNow, views: Iterable[DeliveryView], *, following: str | None = None) -> DeliveryList:
    """These deliveries, with what they wait for now. `following` is the cursor of the next page."""
    waits = delivery_waits(at)
    return DeliveryList(views=waits.shown(views), next=following, waits=waits)


def redeliver(store: CommandStore, file: SettingsFile, wanted: DeliveryFilter, *, expect: int | None = None) -> int:
    """Send these deliveries again, with the same id and bytes; returns how many.

    UsageError if the filter is too wide, or an event id is empty. UnknownError if an event or the endpoint does not
    exist. OutdatedError if their number is not `expect`.
    """
    if not wanted.is_narrow:
        raise UsageError(TOO_WIDE, at="event_ids")
    if wanted.endpoint is not None:
        known_endpoint(file, wanted.endpoint)
    if wanted.event_ids:
        if not all(map(str.strip, wanted.event_ids)):
            raise UsageError("the event id is empty; if it comes from a variable, set the variable", at="event_ids")
        known = {view.event_id for view in store.list_deliveries(DeliveryFilter(event_ids=wanted.event_ids))}
        missing = [one for one in wanted.event_ids if one not in known]
        if missing:
            raise unknown_event(missing[0])
    return store.redeliver(wanted.without_copies, expect=expect)


def enable(store: CommandStore, file: SettingsFile, endpoint: str, *, now: float) -> tuple[bool, bool]:
    """Enable an endpoint and end its wait; returns whether it was disabled, and whether it had to wait.
    UnknownNameError if it is not in the settings."""
    known_endpoint(file, endpoint)
    was_held = bool(lasting_queue_waits(store.queue_waits(), [endpoint], now))
    return store.enable(endpoint), was_held


def unknown_event(event_id: str) -> UnknownError:
    return UnknownError(f"no event {shortened(event_id)}: `genbridge deliveries` lists them")


def delivery_json(view: DeliveryView) -> dict[str, Any]:
    """One delivery for JSON. `id` is null for events about an account or endpoint. `about` is the endpoint that such an
    event is about. `last_reason` is the answer to the last attempt, or why there was no answer."""
    is_about_task = view.topic in TASK_TOPICS
    return {
        "event_id": view.event_id,
        "endpoint": view.endpoint,
        "target": view.target or None,
        "topic": view.topic,
        "account": view.account or None,
        "id": view.task_id if is_about_task else None,
        "about": None if is_about_task else view.task_id or None,
        "state": view.state,
        "attempts": view.attempts,
        "next_attempt_at": rfc3339(view.next_attempt_at),
        "last_outcome": view.last_outcome,
        "created_at": rfc3339(view.created_at),
        "last_reason": view.last_detail or None,
    }


def attempts_json(view: DeliveryView) -> list[dict[str, Any]]:
    """The attempts of one delivery for JSON, the oldest first."""
    return [
        {"at": rfc3339(one.at), "outcome": one.outcome, "detail": one.detail or None, "duration_s": one.duration_s}
        for one in view.made
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """The deliveries that would be sent again. `off`: their endpoints that get nothing now, with the reason."""

    totals: Sequence[DeliveryTotal]
    off: Mapping[str, str]

    @property
    def number(self) -> int:
        return sum(one.deliveries for one in self.totals)


def planned_redelivery(at: StoreNow, wanted: DeliveryFilter) -> Redelivery:
    """The deliveries that `redeliver` would send for this filter."""
    totals, waits = at.store.delivery_totals(wanted.without_copies), delivery_waits(at)
    reasons = {name: waits.why_off(name) for name in sorted({one.endpoint for one in totals})}
    return Redelivery(totals=totals, off={name: why for name, why in reasons.items() if why})
