"""Notices within a second what other processes (the commands) did to the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload

log = get_logger()

EVERY_S: Final = 0.3


class Versioned(Protocol):
    """What the lookout asks of the store."""

    def data_version(self) -> int:
        """A number that changes when another connection has committed."""


async def look_out(store: Versioned, *, offload: Offload, clock: Clock, changed: Callable[[], Awaitable[None]]) -> None:
    """Call `changed` once now and whenever somebody else has written to the store; for ever.

    A failing store is looked at again, and `changed` that raises StoreError is called again.
    """
    seen: int | None = None
    while True:
        try:
            version = await offload(store.data_version)
            if version != seen:
                await changed()
                seen = version
        except StoreError as error:
            # The ledger reports a failing store loudly; here it only means that there is nothing to see yet.
            log.debug("store.failed", reason=str(error))
        await clock.sleep(EVERY_S)
