"""The stream of events: every follower gets the same bytes, which are read and encoded once.

One reader follows the log of events. It keeps what it reads for a while as a chain of pages; each page is found by the
position before it. A follower moves along the chain at its own speed. A follower that resumes from an older position
reads its own pages until it reaches the chain. Followers that resume at the same time share these pages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

import anyio

from bridge.domain.committed import LogPage
from bridge.errors import StoreError
from bridge.http.live.stream_frames import HEARTBEAT, OPENING, encoded, frame
from bridge.logs import get_logger
from bridge.ports import Clock, Offload
from bridge.store.event_log import READ_AT_ONCE, FollowStore

log = get_logger()

HEARTBEAT_S: Final = 15.0
LOOK_EVERY_S: Final = 1.0  # on a shared store, for events that came without a notification
SPACING_S: Final = 0.02  # between two reads, so that many commits share one read
HELD_S: Final = 0.05  # when to read again if an open transaction may still commit an event
AGAIN_S: Final = 1.0
KEPT_BYTES: Final = 2 << 20  # maximum size of the kept pages
KEPT_PAGES: Final = 512
MOST_BEHIND: Final = 1000  # events; a follower that was up to date and falls further behind is dropped


class EventHub:
    """Events for any number of followers. Without followers, nothing is read."""

    def __init__(self, *, store: FollowStore, offload: Offload, clock: Clock) -> None:
        self._log = store
        self._offload = offload
        self._clock = clock
        self._position: int | None = None  # up to which the log has been read; None: no followers
        self._pages: OrderedDict[int, LogPage] = OrderedDict()
        self._kept_bytes = 0
        self.followers = 0
        self._releases = 0
        self._must_read = anyio.Event()
        self._arrived = anyio.Event()
        self._reading = anyio.Lock()

    async def follow(
        self, after: int | None, *, topic: str | None = None, account: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Frames of the events after this number (None: from now on), with heartbeats in between. First comes
        `OPENING`, as soon as no event can be missed.

        It ends when the follower is too slow, when the store cannot be read, or at `release`. The follower can resume
        with the last number it got. StoreError at the first frame if the store cannot be read.
        """
        self.followers += 1
        releases = self._releases
        try:
            newest = await self._begin()
            position, was_current = newest if after is None else after, after is None
            yield OPENING
            while releases == self._releases:
                if was_current and (self._position or 0) - position > MOST_BEHIND:
                    log.info("stream.dropped", behind=(self._position or 0) - position)
                    return
                try:
                    page = await self._next_page(position)
                except StoreError:
                    return
                if page is None:
                    was_current = True
                    yield HEARTBEAT
                    continue
                if page.is_gone:
                    bounds = b'{"oldest":%d,"latest":%d}' % (page.oldest, page.position)
                    yield frame("reset", bounds, number=page.position)
                for one in page.events:
                    if one.body and topic in {None, one.topic} and account in {None, one.account}:
                        yield one.body
                position = page.position
        finally:
            self.followers -= 1
            if not self.followers:
                self._position = None
                self._pages.clear()
                self._kept_bytes = 0

    def changed(self) -> None:
        """There may be new events."""
        if self.followers:
            self._must_read.set()

    def release(self) -> None:
        """Disconnect all followers."""
        self._releases += 1
        self._ring()

    async def run(self) -> None:
        """Read new events until canceled."""
        self._must_read.set()
        while True:
            is_watching = self.followers and self._log.is_shared
            await self._clock.wait(self._must_read, LOOK_EVERY_S if is_watching else None)
            self._must_read = anyio.Event()
            try:
                await self._read_new()
                await self._clock.sleep(SPACING_S)
            except StoreError:
                await self._clock.sleep(AGAIN_S)
                self._must_read.set()

    async def _begin(self) -> int:
        """The position from which a new follower misses no event."""
        async with self._reading:
            if self._position is None:
                self._position = await self._offload(self._log.newest_event)
        self._must_read.set()
        return self._position or 0

    async def _read_new(self) -> None:
        while (position := self._position) is not None:
            found = await self._offload(self._log.read_events, position)
            if self._position != position:
                return  # all followers have left in the meantime
            if found.position != position:
                if not found.is_gone:
                    self._keep(position, encoded(found))
                self._position = found.position
                self._ring()
            if found.is_held:
                await self._clock.sleep(HELD_S)
            elif found.position >= found.newest:
                return

    async def _next_page(self, position: int) -> LogPage | None:
        """The page after this position; None when nothing comes for a while, or at `release`."""
        releases = self._releases
        if position > (self._position or 0):  # another daemon was faster, or this is not a number of this log
            page = await self._page(position)
            if page.is_gone:
                return page
        while position >= (self._position or 0):
            if not await self._clock.wait(self._arrived, HEARTBEAT_S) or releases != self._releases:
                return None
        return await self._page(position)

    async def _page(self, after: int) -> LogPage:
        """The page after this position, kept or read again. Pages end at the same positions for all followers."""
        async with self._reading:
            if after in self._pages:
                self._pages.move_to_end(after)
                return self._pages[after]
            upto = min(self._position or 0, (after // READ_AT_ONCE + 1) * READ_AT_ONCE)
            page = encoded(await self._offload(partial(self._log.read_again, after, upto=max(after, upto))))
            if not page.is_gone and page.position > after:
                self._keep(after, page)
            return page

    def _keep(self, after: int, page: LogPage) -> None:
        self._pages[after] = page
        self._kept_bytes += _size(page)
        while len(self._pages) > 1 and (self._kept_bytes > KEPT_BYTES or len(self._pages) > KEPT_PAGES):
            _, gone = self._pages.popitem(last=False)
            self._kept_bytes -= _size(gone)

    def _ring(self) -> None:
        arrived, self._arrived = self._arrived, anyio.Event()
        arrived.set()


def _size(page: LogPage) -> int:
    return sum(len(one.body or b"") for one in page.events)
