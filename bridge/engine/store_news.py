"""Reacts quickly to changes that other processes (commands, other daemons) make in the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bridge.errors import StoreDamaged, StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, News

log = get_logger()

Reaction = tuple[str, Callable[[News], int], Callable[[], Awaitable[None] | None]]
"""A kind of news, its counter in `News`, and the function to call when the counter has changed."""


async def follow_news(
    news: Callable[[], Awaitable[News]], reactions: Sequence[Reaction], *, clock: Clock, every_s: float
) -> None:
    """React to each kind of news, at once and whenever its counter changes, until canceled.

    After a StoreError the store is read again and the reaction repeated. StoreDamaged passes through.
    """
    seen: dict[str, int] = {}
    while True:
        try:
            current = await news()
            for kind, counter, react in reactions:
                if seen.get(kind) != counter(current):
                    await _guarded(kind, react)
                    seen[kind] = counter(current)
        except StoreDamaged:
            raise
        except StoreError:
            pass
        await clock.sleep(every_s)


async def _guarded(kind: str, react: Callable[[], Awaitable[None] | None]) -> None:
    """Keep a bug with one kind of news from hiding the others."""
    try:
        reacting = react()
        if reacting is not None:
            await reacting
    except StoreError:
        raise
    except Exception:
        log.exception("news.bug", kind=kind)
