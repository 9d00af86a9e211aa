"""The interfaces between rooms that callbacks need; see `ports`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bridge.domain.callback import Callback, CallbackHeard, CallbackRequest
from bridge.domain.ids import WatchKey
from bridge.domain.store_key import KeyPurpose


class CallbackPolls(Protocol):
    """What callbacks need from the store."""

    def ensure_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """The store's random key for this purpose; created if it is missing. All daemons use the same key."""

    def poll_called(
        self, heard: Mapping[WatchKey, CallbackHeard], *, most: int, now: float
    ) -> tuple[int, list[WatchKey]]:
        """Make the daemons that hold these watches poll them at once, at most `most` of each account. Returns the
        number of these watches, and the live ones beyond that limit. Unknown watches are ignored, at the cost of one
        query."""


class CallbackReader(Protocol):
    """Reads the callbacks of one account."""

    def read(self, request: CallbackRequest, *, now: float) -> Callback:
        """The content of a callback, and what its signature proves at this wall-clock time. Never raises."""

    def refresh_in_s(self, now: float) -> float:
        """Seconds until `refresh` should be called; infinity if never."""

    async def refresh(self, now: float) -> bool:
        """Fetch the public keys that the provider signs with. Returns whether there are new ones."""
