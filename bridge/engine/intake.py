"""Sources into the store, each task once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from bridge.domain.watch import Wish
from bridge.engine.outage import Outage
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Added, Clock, Cursor, Offload, Watches

log = get_logger()

T = TypeVar("T")


class StoreIntake:
    """`ports.Intake`: what a source hands over is committed before it hears back; `changed` then fetches it, and is
    called again when it raises StoreError.

    `origins` may be set at any time: what the store is to call a source, where several daemons have one of that kind.
    """

    def __init__(
        self,
        *,
        watches: Watches,
        offload: Offload,
        clock: Clock,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.origins: Mapping[str, str] = {}
        self._watches = watches
        self._offload = offload
        self._clock = clock
        self._changed = changed
        self._outage = Outage(clock)

    async def add(self, wishes: Sequence[Wish], *, source: str, cursor: Cursor | None = None) -> list[Added]:
        """Watch these tasks; returns after the commit."""
        now, origin = self._clock.now(), self._origin(source)
        if cursor is not None:
            cursor = Cursor(origin, cursor.value)
        add = partial(self._watches.add, wishes, source=origin, now=now, cursor=cursor)
        added = await self._until_done(partial(self._offload, add))
        await self._report(added, source)
        return added

    async def sync(self, wishes: Sequence[Wish], *, source: str) -> None:
        """Make `source` name exactly these tasks; returns after the commit."""
        now = self._clock.now()
        sync = partial(self._watches.sync, wishes, source=self._origin(source), now=now)
        added, withdrawn = await self._until_done(partial(self._offload, sync))
        for key in withdrawn:
            log.info("watch.withdrawn", account=key.account, task_id=key.task_id, source=source)
        await self._report(added, source, force=bool(withdrawn))

    async def cursor(self, source: str) -> str | None:
        """How far the source had been read."""
        return await self._until_done(partial(self._offload, partial(self._watches.cursor, self._origin(source))))

    def _origin(self, source: str) -> str:
        return self.origins.get(source, source)

    async def _report(self, added: Sequence[Added], source: str, *, force: bool = False) -> None:
        fresh = [one for one in added if one.what not in {"known", "ended"}]
        if len(fresh) == 1:
            log.info("watch.added", account=fresh[0].key.account, task_id=fresh[0].key.task_id, source=source)
        elif fresh:
            log.info("watch.added", count=len(fresh), source=source)
        if fresh or force:
            await self._until_done(self._changed)  # nobody else would fetch them later

    async def _until_done(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                result = await call()
            except StoreError as error:
                await self._outage.wait(error)
            else:
                self._outage.over()
                return result
