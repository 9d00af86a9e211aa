"""Fills a store with finished and running tasks, before a daemon works on it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind, Snapshot
from bridge.domain.watch import Memory
from bridge.store import Store, open_store
from tests.factories import make_wish
from tests.http.site import Site, running_site
from tests.store.making import Teller, make_attempt, make_end, make_note

CDN = "https://cdn.example.com"
ELSEWHERE = "https://files.reseller.example"
ACTION = "videos/text2video"


class Filler:
    """Adds tasks of account `kling`, with deliveries to endpoint `hook`. Ages are in seconds before now."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = time.time()

    def running(self, task_id: str, *, age: float, label: str | None = None, progress: float | None = None) -> None:
        """Add a task that a poll found running. If `progress` is None, it was only added."""
        wish = make_wish(task_id=task_id, label=label, action=ACTION)
        self.store.add([wish], source="cli", now=self.now - age)
        if progress is not None:
            memory = Memory(phase=Phase.RUNNING, polls=1, progress=progress)
            note = make_note(WatchKey("kling", task_id), memory=memory, at=self.now, next_poll_at=self.now + 60)
            change = make_end(note.key, note=note, ends=False, topic=None, topic_part="", snapshot=None, at=self.now)
            self.store.commit([change], Teller())

    def finished(
        self,
        task_id: str,
        result: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        *,
        label: str | None = None,
        age: float = 60.0,
        phase: Phase = Phase.SUCCEEDED,
        reason: str | None = None,
        expires_in: float | None = None,
        states: Mapping[str, DeliveryState] | None = None,
    ) -> None:
        """Add a task that took 30 s. `states` has the state of each delivery, by endpoint. By default, the one to
        `hook` was accepted."""
        urls = tuple(str(one["url"]) for items in (result or {}).values() for one in items if "url" in one)
        snapshot = Snapshot(
            result=result or {},
            urls=urls,
            expires_ms=None if expires_in is None else round((self.now + expires_in) * 1000),
        )
        states = {"hook": DeliveryState.ACCEPTED} if states is None else states
        at = self.now - age
        self.store.add([make_wish(task_id=task_id, label=label, action=ACTION)], source="cli", now=at - 30)
        note = make_note(
            WatchKey("kling", task_id),
            memory=Memory(phase=phase, polls=3),
            kind=ReadingKind.SUCCEEDED,
            detail="",
            at=at,
            next_poll_at=None,
        )
        end = make_end(note.key, note=note, phase=phase, at=at, snapshot=snapshot, reason=reason)
        self.store.commit([end], Teller(*((name, "") for name in states)))
        for name, state in states.items():
            if state is not DeliveryState.WAITING:
                self._settle(name, state, at)

    def takes(self, low: float, high: float) -> None:
        """Store that tasks take from `low` to `high` seconds."""
        table = Table()
        for number in range(40):
            duration_s = low + (high - low) * number / 39
            table.seen(0.0, duration_s)
            table.ended([duration_s], succeeded=True)
        self.store.learn({DurationKey("kling", ACTION): table})

    def _settle(self, endpoint: str, state: DeliveryState, at: float) -> None:
        for delivery in self.store.due(endpoint, "", now=self.now + 1e6, limit=100)[0]:
            is_accepted = state is DeliveryState.ACCEPTED
            made = make_attempt(
                delivery,
                state=state,
                outcome="accepted" if is_accepted else "deferred",
                detail="200" if is_accepted else "HTTP 503",
                attempts=1 if is_accepted else 5,
                at=at + 0.4,
            )
            self.store.commit([made], Teller())


@contextmanager
def filled(folder: Path) -> Iterator[Filler]:
    """A filler for the store of a site that does not run yet."""
    with closing(open_store(folder / "state.db", create=True, group_access=False)) as store:
        yield Filler(store)


@contextmanager
def open_site(folder: Path, **settings: Any) -> Iterator[Site]:
    """A site without a token, whose pages may load files of `CDN`."""
    http = {"token": None, "read_token": None, "previews": [CDN], **settings.pop("http", {})}
    with running_site(folder, http=http, **settings) as site:
        yield site
