"""Sends committed changes to everybody who follows a stream or waits for a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from bridge.config.settings_file import SettingsFile
from bridge.domain.change import Change, Note
from bridge.http.live.change_hub import ChangeHub
from bridge.http.live.event_hub import EventHub
from bridge.http.live.finish_waits import FinishWaits
from bridge.http.live.poll_record import PollRecord
from bridge.ports import Clock, Offload
from bridge.restarting import keep_running
from bridge.store.event_log import FollowStore


class LiveHub:
    """`ports.StoreObserver` of one daemon. It reads the store on its own connection, in its own thread (`offload`), and
    only while somebody follows `events` or `changes`, or waits at `waits`. `polls` records when tasks were polled."""

    def __init__(
        self, *, store: FollowStore, offload: Offload, clock: Clock, settings: Callable[[], SettingsFile]
    ) -> None:
        self._store = store
        self._clock = clock
        self.polls = PollRecord()
        self.waits = FinishWaits(store=store, offload=offload, clock=clock)
        self.events = EventHub(store=store, offload=offload, clock=clock)
        self.changes = ChangeHub(store=store, offload=offload, clock=clock, settings=settings)
        self._parts = (self.waits, self.events, self.changes)

    @property
    def followers(self) -> int:
        """The number of streams."""
        return self.events.followers + self.changes.followers

    def committed(self, changes: Sequence[Change]) -> None:
        self.polls.committed(changes)
        self.waits.committed(changes)
        self.events.changed()
        self.changes.committed(changes)

    def noted(self, notes: Sequence[Note]) -> None:
        self.polls.noted(notes)
        self.changes.noted(notes)

    def changed(self) -> None:
        for part in self._parts:
            part.changed()

    def release(self) -> None:
        """End all streams and waits, because the server stops or moves, or a token has changed."""
        for part in self._parts:
            part.release()

    async def run(self) -> None:
        """Work until canceled."""
        async with anyio.create_task_group() as group:
            for part in self._parts:
                group.start_soon(keep_running, type(part).__name__.lower(), part.run, self._clock)

    def close(self) -> None:
        """Close the connection to the store, after `run`."""
        self._store.close()
