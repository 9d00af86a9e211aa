"""Stores the tasks that sources hand over, each task once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

from bridge.domain.ids import WatchKey
from bridge.domain.watch import Wish
from bridge.engine.store_outage import retrying
from bridge.logs import get_logger
from bridge.ports import Added, Clock, Offload, Watches

log = get_logger()


class StoreIntake:
    """`ports.Intake`. Everything is committed before the call returns; then `changed` fetches it for polling.

    Assign `origins` to rename sources in the store, for several daemons with a source of the same kind.
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

    async def add(
        self, wishes: Sequence[Wish], *, source: str, revive: bool = True, cursor: str | None = None
    ) -> list[Added]:
        """Watch these tasks; return after the commit."""
        now, origin = self._clock.now(), self._origin(source)
        add = partial(self._watches.add, wishes, source=origin, now=now, revive=revive, cursor=cursor)
        added = await retrying(partial(self._offload, add), self._clock)
        await self._report(added, source)
        return added

    async def add_once(self, wishes: Sequence[Wish], *, source: str, again: bool = False) -> list[Added]:
        """The same, but raises StoreError instead of retrying, because the caller waits for the answer. With `again`,
        finished tasks are watched again."""
        add = partial(self._watches.add, wishes, source=source, now=self._clock.now(), again=again)
        added = await self._offload(add)
        await self._report(added, source)
        return added

    async def sync(self, wishes: Sequence[Wish], *, source: str, kept: Collection[WatchKey] | None = ()) -> None:
        """See `Watches.sync`. Return after the commit."""
        now = self._clock.now()
        sync = partial(self._watches.sync, wishes, source=self._origin(source), now=now, kept=kept)
        added, withdrawn = await retrying(partial(self._offload, sync), self._clock)
        if withdrawn:
            log.info("watch.withdrawn", **_named(withdrawn), source=source)
        await self._report(added, source, force=bool(withdrawn))

    async def cursor(self, source: str) -> str | None:
        return await retrying(partial(self._offload, self._watches.cursor, self._origin(source)), self._clock)

    def _origin(self, source: str) -> str:
        return self.origins.get(source, source)

    async def _report(self, added: Sequence[Added], source: str, *, force: bool = False) -> None:
        new = [one.key for one in added if one.what not in {"known", "ended", "withdrawn"}]
        if new:
            log.info("watch.added", **_named(new), source=source)
        if added or force:
            # Nothing else would fetch these watches later. An earlier call for known ones may have been canceled before
            # it did.
            await retrying(self._changed, self._clock)


def _named(keys: Sequence[WatchKey]) -> dict[str, object]:
    """For the log: the task, or the number of several, because a list may name a hundred thousand."""
    return {"account": keys[0].account, "task_id": keys[0].task_id} if len(keys) == 1 else {"count": len(keys)}
