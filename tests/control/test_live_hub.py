"""A bug of ours in one part of the hub stops neither that part for good nor the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from structlog.testing import capture_logs

from bridge.clock import SystemClock
from bridge.config.settings_file import SettingsFile
from bridge.control.live_hub import LiveHub
from bridge.store import open_follower, open_store
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


async def test_a_wait_ends_although_looking_for_its_task_met_a_bug(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db", create=True, group_access=False)
    add(store, KEY.task_id)
    offload = FaultyOffload("finished")
    hub = LiveHub(
        store=open_follower(tmp_path / "state.db"), offload=offload, clock=SystemClock(), settings=no_settings
    )
    with capture_logs() as logged, anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(hub.run)
            store.commit([make_end(KEY)], nobody)
            await hub.until_finished(KEY, 300.0)
            group.cancel_scope.cancel()
    assert offload.has_failed
    assert [line["work"] for line in logged if line["event"] == "work.bug"] == ["finishwaits"]
    hub.close()
    store.close()


async def test_events_arrive_although_reading_them_met_a_bug(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db", create=True, group_access=False)
    add(store, KEY.task_id)
    offload = FaultyOffload("read_events")
    hub = LiveHub(
        store=open_follower(tmp_path / "state.db"), offload=offload, clock=SystemClock(), settings=no_settings
    )
    with capture_logs() as logged, anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(hub.run)
            async for frame in hub.events(None):
                if b"task_succeeded" in frame:
                    break
                if not offload.has_failed:
                    store.commit([make_end(KEY)], nobody)
                    hub.changed()
            group.cancel_scope.cancel()
    assert offload.has_failed
    assert [line["work"] for line in logged if line["event"] == "work.bug"] == ["eventhub"]
    hub.close()
    store.close()
