"""A preview of a redelivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.config.settings_file import SettingsFile
from bridge.domain.filters import DeliveryFilter
from bridge.domain.pause import PauseOf, lasting
from bridge.domain.views import DeliveryTotal
from bridge.store import ReadStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """The deliveries that would be sent again. `held`: endpoints among them that get nothing now."""

    totals: Sequence[DeliveryTotal]
    held: frozenset[str]

    @property
    def number(self) -> int:
        return sum(one.deliveries for one in self.totals)


def planned_redelivery(store: ReadStore, file: SettingsFile, wanted: DeliveryFilter, *, now: float) -> Redelivery:
    """The deliveries that `redeliver` would send for this filter."""
    totals = store.delivery_totals(wanted.without_copies)
    return Redelivery(totals=totals, held=held_endpoints(store, file, now=now) & {one.endpoint for one in totals})


def held_endpoints(store: ReadStore, file: SettingsFile, *, now: float) -> frozenset[str]:
    """The endpoints that get nothing until a person acts: they are disabled or paused, or they have waiting deliveries
    and are no longer in the settings."""
    counts = store.counts()
    paused = lasting(store.pauses(), PauseOf.ENDPOINT, now)
    gone = counts.waiting_by_endpoint.keys() - set(file.queues)
    return frozenset({*counts.disabled, *paused, *gone})
