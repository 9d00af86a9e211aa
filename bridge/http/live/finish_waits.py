"""Wakes callers that wait for tasks to finish. After a change, the store is read once for all callers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import anyio

from bridge.domain.change import Change, TaskChange
from bridge.domain.ids import WatchKey
from bridge.errors import StoreError
from bridge.ports import Clock, Offload
from bridge.store.event_log import FollowStore


class FinishWaits:
    """The tasks that requests are waiting for."""

    def __init__(self, *, store: FollowStore, offload: Offload, clock: Clock) -> None:
        self._store = store
        self._offload = offload
        self._clock = clock
        self._waiting: dict[WatchKey, list[anyio.Event]] = {}
        self._must_look = anyio.Event()

    async def until_finished(self, key: WatchKey, timeout_s: float) -> None:
        """Return when this task is not live, at the latest after `timeout_s` or at `release`."""
        finished = anyio.Event()
        self._waiting.setdefault(key, []).append(finished)
        self._must_look.set()  # it may have finished before this call
        try:
            await self._clock.wait(finished, timeout_s)
        finally:
            waiting = self._waiting.get(key, [])
            if finished in waiting:
                waiting.remove(finished)
            if not waiting:
                self._waiting.pop(key, None)

    def committed(self, changes: Sequence[Change]) -> None:
        """Wake the callers that wait for these tasks."""
        if self._waiting:
            self._wake(change.note.key for change in changes if isinstance(change, TaskChange) and change.ends)

    def changed(self) -> None:
        """Tasks may have finished without a commit of this daemon."""
        if self._waiting:
            self._must_look.set()

    def release(self) -> None:
        """Wake all callers."""
        self._wake(list(self._waiting))

    async def run(self) -> None:
        """Read the store at once, and whenever something has changed, until canceled."""
        self._must_look.set()
        while True:
            await self._must_look.wait()
            self._must_look = anyio.Event()
            if self._waiting:
                try:
                    self._wake(await self._offload(partial(self._store.finished, list(self._waiting))))
                except StoreError:
                    await self._clock.sleep(1.0)
                    self._must_look.set()

    def _wake(self, keys: Iterable[WatchKey]) -> None:
        for key in keys:
            for finished in self._waiting.pop(key, ()):
                finished.set()
