"""Waiting for a task to finish: notified at once by this daemon, soon by others, without polling the store."""

from __future__ import annotations

from collections.abc import Callable, Collection

import anyio
import pytest

from bridge.clock import SystemClock
from bridge.config.settings_file import SettingsFile
from bridge.domain.ids import WatchKey
from bridge.http.live.live_hub import LiveHub
from bridge.store import Store
from bridge.store.event_log import FollowStore
from tests.factories import NOW
from tests.http.live.following import CountingOffload
from tests.store.making import KEY, add, make_end, make_progress, nobody


@pytest.fixture
def store(store: Store) -> Store:
    add(store, "task-1", "b")
    return store


def no_settings() -> SettingsFile:
    raise AssertionError("waiting needs no settings")


@pytest.fixture
def hub(follower: FollowStore, offload: CountingOffload) -> LiveHub:
    return LiveHub(store=follower, offload=offload, clock=SystemClock(), settings=no_settings)


async def waited(hub: LiveHub, during: Callable[[], None], *, keys: Collection[WatchKey] = (KEY,)) -> None:
    """Return when all of these waits are over. `during` is called when they have begun."""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as running:
            running.start_soon(hub.run)
            async with anyio.create_task_group() as waiting:
                for key in keys:
                    waiting.start_soon(hub.waits.until_finished, key, 300.0)
                await anyio.sleep(0.2)
                during()
            running.cancel_scope.cancel()


async def test_every_waiting_caller_is_woken_by_the_commit(store: Store, hub: LiveHub) -> None:
    def end() -> None:
        changes = [make_progress(10), make_end()]
        assert all(store.commit(changes, nobody))
        hub.committed(changes)

    await waited(hub, end)


async def test_a_thousand_waits_share_one_read_for_each_change(
    store: Store, hub: LiveHub, offload: CountingOffload
) -> None:
    keys = [WatchKey("kling", f"many-{number}") for number in range(1000)]
    add(store, *(key.task_id for key in keys))

    def end() -> None:
        before = offload.calls
        store.withdraw(keys, now=NOW)
        hub.changed()
        assert before <= 3

    await waited(hub, end, keys=keys)
    assert offload.calls <= 4


async def test_a_task_that_finished_before_is_not_waited_for(store: Store, hub: LiveHub) -> None:
    store.commit([make_end()], nobody)
    await waited(hub, lambda: None)


async def test_a_task_that_is_not_watched_is_not_waited_for(hub: LiveHub) -> None:
    await waited(hub, lambda: None, keys=[WatchKey("kling", "unknown")])


async def test_a_wait_ends_in_time_and_leaves_nothing_behind(store: Store, hub: LiveHub) -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as running:
            running.start_soon(hub.run)
            await hub.waits.until_finished(KEY, 0.1)
            running.cancel_scope.cancel()
    assert not hub.waits._waiting


async def test_changes_of_other_tasks_wake_no_caller(store: Store, hub: LiveHub) -> None:
    with anyio.move_on_after(0.5) as time_limit:
        async with anyio.create_task_group() as running:
            running.start_soon(hub.run)
            running.start_soon(hub.waits.until_finished, KEY, 300.0)
            await anyio.sleep(0.1)
            store.withdraw([WatchKey("kling", "b")], now=NOW)
            hub.changed()
            hub.committed([make_end(WatchKey("kling", "b")), make_progress(10)])
            await anyio.sleep(0.2)
            assert KEY in hub.waits._waiting
    assert time_limit.cancelled_caught


async def test_a_stopping_server_releases_all_waiting_callers(hub: LiveHub) -> None:
    await waited(hub, hub.release)
