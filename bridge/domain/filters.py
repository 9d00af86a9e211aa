"""Filters for watches and deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.task import Phase

T = TypeVar("T")


class WatchFilter(NamedTuple):
    """The watches that match all given values.

    `since` matches watches that were added or finished since then. `text` matches a part of ACCOUNT/ID or label; case
    is ignored.
    """

    phases: tuple[Phase, ...] = ()  # any of them; empty: every phase
    account: str | None = None
    label: str | None = None
    since: float | None = None
    text: str | None = None


class DeliveryFilter(NamedTuple):
    """The deliveries that match all given values. `since` is a time of creation."""

    states: tuple[DeliveryState, ...] = ()  # any of them; empty: every state
    event_ids: tuple[str, ...] = ()  # any of them; empty: every event
    endpoint: str | None = None
    target: str | None = None
    topic: str | None = None
    watch: WatchKey | None = None
    since: float | None = None
    without: str | None = None  # excludes deliveries to this endpoint

    @property
    def without_copies(self) -> DeliveryFilter:
        """The same filter for redelivery: "all dead deliveries" does not include copies to the archive unless it names
        them."""
        is_named = self.endpoint is not None or self.event_ids
        return self if is_named or self.states != (DeliveryState.DEAD,) else self._replace(without=ARCHIVE)

    @property
    def is_narrow(self) -> bool:
        """Whether it filters by more than an endpoint. An endpoint alone would match everything that was ever sent to
        it."""
        return self._replace(endpoint=None, target=None, without=None) != EVERY_DELIVERY


EVERY_WATCH: Final = WatchFilter()
EVERY_DELIVERY: Final = DeliveryFilter()


class Page(list[T], Generic[T]):
    """One page of a list, the newest first. `next_before` is the `before` of the next page; None: this is the last."""

    def __init__(self, found: Iterable[T], next_before: int | None = None) -> None:
        super().__init__(found)
        self.next_before = next_before
