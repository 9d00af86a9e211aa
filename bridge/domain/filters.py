"""Filters for watches and deliveries."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.task import Phase

T = TypeVar("T")


class WatchFilter(NamedTuple):
    """The watches that match everything given.

    `since` asks for those added or finished since then; `text` for those whose ACCOUNT/ID or label contains it, in
    upper or lower case.
    """

    phases: tuple[Phase, ...] = ()  # any of them; empty: every phase
    account: str | None = None
    label: str | None = None
    since: float | None = None
    text: str | None = None


class DeliveryFilter(NamedTuple):
    """The deliveries that match everything given. `since` is when they were created."""

    states: tuple[DeliveryState, ...] = ()  # any of them; empty: every state
    event_ids: tuple[str, ...] = ()  # any of them; empty: every event
    endpoint: str | None = None
    target: str | None = None
    topic: str | None = None
    watch: WatchKey | None = None
    since: float | None = None
    without: str | None = None  # not those to this endpoint

    @property
    def without_copies(self) -> DeliveryFilter:
        """The same for redelivering: all dead deliveries are meant without the archive's copies, unless those are
        named."""
        is_named = self.endpoint is not None or self.event_ids
        return self if is_named or self.states != (DeliveryState.DEAD,) else self._replace(without=ARCHIVE)

    @property
    def is_narrow(self) -> bool:
        """Whether it has more than an endpoint. An endpoint alone would match everything that was ever sent to it."""
        return self._replace(endpoint=None, target=None, without=None) != EVERY_DELIVERY


EVERY_WATCH: Final = WatchFilter()
EVERY_DELIVERY: Final = DeliveryFilter()


class Page(list[T], Generic[T]):
    """Some of a listing, the newest first. `next_before` is the `before` of the following page; None: this is the
    last."""

    next_before: int | None = None
