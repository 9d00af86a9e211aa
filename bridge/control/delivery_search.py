"""Deliveries for the status page, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.config.settings_file import SettingsFile
from bridge.control.delivery_list import DeliveryList, deliveries_at
from bridge.control.paging import SEARCHED, mark_after, mark_at
from bridge.domain.page_views import DeliveryMark, DeliverySearch, Standing
from bridge.store import ReadStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDeliveries:
    """A page of deliveries, each with its group."""

    standings: Sequence[Standing]  # the groups of `found.views`, in the same order
    found: DeliveryList


def search_deliveries(
    store: ReadStore, file: SettingsFile, wanted: DeliverySearch, *, now: float, limit: int, cursor: str | None = None
) -> FoundDeliveries:
    """At most `limit` of these deliveries, from `cursor` on: dead first, then held, waiting, accepted, canceled.

    A page may be short, or empty, and still have a `next` one. UsageError for a wrong cursor.
    """
    values = mark_after(SEARCHED, cursor, (Standing, float, int))
    page = store.delivery_page(wanted, after=DeliveryMark(*values) if values else None, limit=limit, now=now)
    following = mark_at(SEARCHED, *page.next_after) if page.next_after else None
    return FoundDeliveries(
        standings=[standing for standing, _ in page.views],
        found=deliveries_at(store, file, [view for _, view in page.views], now=now, following=following),
    )
