"""Notices soon what other processes (commands, other daemons) did to the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from bridge.errors import StoreDamaged, StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, News

log = get_logger()

Heed = Callable[[], Awaitable[None]]


async def look_out(
    news: Callable[[], Awaitable[News]], *, clock: Clock, every_s: float, heeds: Mapping[str, Heed]
) -> None:
    """Call what `heeds` holds for a kind of news (the names of `News`), once now and whenever there is some; for ever.

    A failing store is looked at again, and a call that raises StoreError is made again. StoreDamaged passes through:
    there is nothing left to look at.
    """
    seen = News(work=-1, outbox=-1, members=-1)
    while True:
        try:
            heard = await news()
            for name, heed in heeds.items():
                now = getattr(heard, name)
                if now != getattr(seen, name):
                    await heed()
                    seen = seen._replace(**{name: now})
        except StoreDamaged:
            raise
        except StoreError as error:
            # The ledger reports a failing store loudly; here it only means that there is nothing to see yet.
            log.debug("store.failed", reason=str(error))
        await clock.sleep(every_s)
