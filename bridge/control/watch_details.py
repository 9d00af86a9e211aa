"""One watch with its deliveries, as `show` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.config.settings_file import SettingsFile
from bridge.control.delivery_list import DeliveryList, deliveries_at
from bridge.control.estimates import estimates, eta_json
from bridge.control.pausing import held_watches
from bridge.control.watch_list import watch_json
from bridge.domain.ids import WatchKey
from bridge.domain.views import WatchView
from bridge.store import ReadStore

if TYPE_CHECKING:
    from bridge.domain.durations.forecast import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchWithDeliveries:
    """One watch with its deliveries."""

    view: WatchView
    eta: Expected | None
    deliveries: DeliveryList

    def fields(self) -> dict[str, Any]:
        """The watch for JSON, without its deliveries."""
        return {**watch_json(self.view), **eta_json(self.eta)}

    def json(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.fields(), "deliveries": self.deliveries.json()}


def watch_details(store: ReadStore, file: SettingsFile, key: WatchKey, *, now: float) -> WatchWithDeliveries:
    """One watch with its deliveries. UnknownError if it does not exist."""
    [view] = held_watches([store.view(key)], store.accounts(), now)
    return WatchWithDeliveries(
        view=view,
        eta=estimates(store, file).of(view, now),
        deliveries=deliveries_at(store, file, store.deliveries_of(key), now=now),
    )
