"""A bug in one part of the hub stops neither that part forever nor the other parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.clock import SystemClock
from bridge.config.settings_file import SettingsFile
from bridge.http.live.live_hub import LiveHub
from bridge.store import Store, open_follower
from tests.fakes import DirectOffload
from tests.store.making import KEY, add, make_end, nobody


class FaultyOffload(DirectOffload):
    """Raises at the first call of the method with this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.has_failed = False

    async def __call__(self, call: Callable[..., Any], *args: object) -> Any:
        method = getattr(call, "func", call)
        if getattr(method, "__name__", "") == self.name and not self.has_failed:
            self.has_failed = True
            raise KeyError("a bug of ours")
        return await super().__call__(call, *args)


def no_settings() -> SettingsFile:
    raise AssertionError("neither waiting nor events need settings")


@pytest.fixture
def store(store: Store) -> Store:
    add(store, KEY.task_id)
    return store


@asynccontextmanager
async def running(folder: Path, faulty: str, *, part: str) -> AsyncIterator[LiveHub]:
    """A hub in which the first call of this method raises. At the end, checks that this happened and was logged for
    this part."""
    offload = FaultyOffload(faulty)
    follower = open_follower(folder / "state.db")
    hub = LiveHub(store=follower, offload=offload, clock=SystemClock(), settings=no_settings)
    with capture_logs() as logged, anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(hub.run)
            yield hub
            group.cancel_scope.cancel()
    assert offload.has_failed
    assert [line["work"] for line in logged if line["event"] == "work.bug"] == [part]
    hub.close()


async def test_a_wait_ends_even_after_a_bug_while_reading_its_task(store: Store, tmp_path: Path) -> None:
    async with running(tmp_path, "finished", part="finishwaits") as hub:
        store.commit([make_end(KEY)], nobody)
        await hub.waits.until_finished(KEY, 300.0)


async def test_events_arrive_although_reading_them_met_a_bug(store: Store, tmp_path: Path) -> None:
    async with running(tmp_path, "read_events", part="eventhub") as hub:
        has_finished = False
        async for frame in hub.events.follow(None):
            if b"task_succeeded" in frame:
                break
            if not has_finished:
                store.commit([make_end(KEY)], nobody)
                hub.changed()
                has_finished = True
