"""The stream of changes: the current state of changed rows, at most twice a second, encoded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.clock import SystemClock
from bridge.config.load import Loaded, load
from bridge.domain.ids import WatchKey
from bridge.http.live import change_hub
from bridge.http.live.live_hub import LiveHub
from bridge.store import Store
from bridge.store.event_log import FollowStore
from tests.factories import NOW, make_wish
from tests.http.live.following import CountingOffload, Reader, running
from tests.store.making import KEY, Teller, add, due, make_attempt, make_end, make_note, nobody

SETTINGS = """
accounts: {kling: {provider: kling, base_url: https://api.example.com, api_key: k}}
endpoints: {automation: {type: webhook, url: https://hooks.example.com}}
"""


@pytest.fixture
def hub(tmp_path: Path, follower: FollowStore, offload: CountingOffload) -> LiveHub:
    path = tmp_path / "genbridge.yaml"
    path.write_text(SETTINGS)
    loaded: Loaded = load(path, {})
    return LiveHub(store=follower, offload=offload, clock=SystemClock(), settings=lambda: loaded)


def content(data: bytes) -> dict[str, Any]:
    """The data of the only frame in these bytes."""
    [line] = [line for line in data.split(b"\n") if line.startswith(b"data: ")]
    found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return found


def frames(stream: Reader) -> list[dict[str, Any]]:
    return [content(data) for data in stream.got if b"event: changes" in data]


async def seen(stream: Reader, part: str, **wanted: object) -> dict[str, Any]:
    """Wait for a frame that contains a row with these values, and return the row."""
    with anyio.fail_after(60):
        while True:
            rows: list[dict[str, Any]] = [row for one in frames(stream) for row in one[part]]
            for row in rows:
                if wanted.items() <= row.items():
                    return row
            await anyio.sleep(0.02)


async def test_the_first_frame_is_a_snapshot_of_the_counters(store: Store, hub: LiveHub) -> None:
    add(store, "task-1", "b")
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        assert b"event: snapshot" in stream.got[0]
        snapshot = content(stream.got[0])
        assert snapshot["counts"]["live"] == 2
        assert snapshot["counts"]["watches"] == {"submitted": 2}
        assert set(snapshot) == {"revision", "now", "counts"}


async def test_changes_just_before_a_connection_are_in_its_first_frame(store: Store, hub: LiveHub) -> None:
    add(store, "task-1")
    store.commit([make_end(at=NOW)], Teller())
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        assert (await seen(stream, "tasks", id="task-1"))["phase"] == "succeeded"
        await seen(stream, "deliveries", id="task-1", state="waiting")
        later = await follow(hub.changes.follow())
        await seen(later, "tasks", id="task-1", phase="succeeded")


async def test_a_commit_of_this_daemon_shows_with_its_delivery(store: Store, hub: LiveHub) -> None:
    add(store, "task-1")
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        store.commit([make_end()], Teller())
        hub.committed([make_end()])
        row = await seen(stream, "tasks", id="task-1", phase="succeeded")
        assert row["urls"] == ["https://cdn.example.com/v1.mp4"]
        assert {"eta_at", "polls", "label", "ended_at"} <= row.keys()
        attempt = make_attempt(due(store)[0])
        store.commit([attempt], nobody)
        hub.committed([attempt])
        await seen(stream, "deliveries", id="task-1", endpoint="automation", state="accepted")


async def test_changes_of_other_processes_are_shown(store: Store, hub: LiveHub) -> None:
    add(store, "task-1")
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        add(store, "new")
        hub.changed()
        await seen(stream, "tasks", id="new", phase="submitted")
        store.withdraw([KEY], now=NOW)
        hub.changed()
        await seen(stream, "tasks", id="task-1", phase="withdrawn")


async def test_the_last_counters_are_sent_when_nothing_else_changes(store: Store, hub: LiveHub) -> None:
    add(store, "task-1")
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        await seen(stream, "tasks", id="task-1", phase="submitted")
        store.withdraw([KEY], now=NOW)
        hub.changed()
        await seen(stream, "tasks", id="task-1", phase="withdrawn")
        with anyio.fail_after(60):
            while not any(one["counts"] and one["counts"]["live"] == 0 for one in frames(stream)):
                await anyio.sleep(0.02)


async def test_counters_of_a_new_snapshot_reach_all_followers(store: Store, hub: LiveHub) -> None:
    add(store, "task-1")
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        await anyio.sleep(1.2)
        store.withdraw([KEY], now=NOW)
        with anyio.fail_after(60):
            # On a busy machine a count takes longer, and the next one comes later.
            while content((await follow(hub.changes.follow())).got[0])["counts"]["live"]:
                await anyio.sleep(0.2)
            while not any(one["counts"] and one["counts"]["live"] == 0 for one in frames(stream)):
                await anyio.sleep(0.02)


async def test_polls_show_as_far_as_there_is_room(store: Store, hub: LiveHub) -> None:
    keys = [one.key for one in add(store, *map(str, range(150)))]
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        await anyio.sleep(1.2)
        before = len(frames(stream))
        notes = [make_note(key) for key in keys]
        store.note(notes)
        hub.noted(notes)
        with anyio.fail_after(60):
            while len(frames(stream)) == before:
                await anyio.sleep(0.02)
        assert {row["phase"] for row in frames(stream)[-1]["tasks"]} == {"running"}


async def test_each_task_is_sent_once_in_its_last_state_in_few_frames(store: Store, hub: LiveHub) -> None:
    add(store, "task-1")
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        await seen(stream, "tasks", id="task-1")
        before = len(frames(stream))
        for number in range(40):
            notes = [make_note(at=NOW + number)]
            store.note(notes)
            hub.noted(notes)
            await anyio.sleep(0.01)
        await anyio.sleep(1.0)
        assert 1 <= len(frames(stream)) - before <= 5
        assert all(len(one["tasks"]) <= 1 for one in frames(stream))


async def test_a_frame_says_when_it_leaves_something_out(store: Store, hub: LiveHub) -> None:
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        add(store, *map(str, range(500)))
        hub.changed()
        with anyio.fail_after(60):
            while not any(one["more"] for one in frames(stream)):
                await anyio.sleep(0.02)
        assert all(len(one["tasks"]) <= change_hub.MOST_ROWS for one in frames(stream))


async def test_a_frame_stays_small_however_much_meta_its_tasks_have(store: Store, hub: LiveHub) -> None:
    async with running(hub) as follow:
        stream = await follow(hub.changes.follow())
        meta: dict[str, Any] = {"k": "x" * 65_000}
        store.add([make_wish(task_id=f"task-{n}", meta=meta) for n in range(50)], source="cli", now=NOW)
        hub.changed()
        with anyio.fail_after(60):
            while not any(one["more"] for one in frames(stream)):
                await anyio.sleep(0.02)
        assert max(map(len, stream.got)) < 600_000
        await seen(stream, "tasks", account="kling")


async def test_all_followers_get_the_same_bytes(store: Store, hub: LiveHub, offload: CountingOffload) -> None:
    async with running(hub) as follow:
        streams = [await follow(hub.changes.follow()) for _ in range(20)]
        await anyio.sleep(0.8)
        before = offload.calls
        add(store, "new")
        hub.changed()
        for stream in streams:
            await seen(stream, "tasks", id="new")
        assert offload.calls - before <= 2
        last = [stream.got[-1] for stream in streams]
        assert all(data is last[0] for data in last)


async def test_without_followers_nothing_is_read(store: Store, hub: LiveHub, offload: CountingOffload) -> None:
    add(store, "task-1")
    async with running(hub) as follow:
        await follow(hub.changes.follow())
        hub.release()
        with anyio.fail_after(60):
            while hub.followers:
                await anyio.sleep(0.01)
        await anyio.sleep(0.7)
        before = offload.calls
        hub.committed([make_end(WatchKey("kling", "task-1"))])
        hub.changed()
        await anyio.sleep(0.7)
        assert offload.calls == before


async def test_a_follower_that_does_not_read_is_dropped(
    store: Store, hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_hub, "FRAME_EVERY_S", 0.01)
    monkeypatch.setattr(hub.changes, "_frames", type(hub.changes._frames)(maxlen=3))
    async with running(hub) as follow:
        slow, quick = await follow(hub.changes.follow()), await follow(hub.changes.follow())
        slow.may_read = anyio.Event()
        for number in range(20):
            add(store, f"t{number}")
            hub.changed()
            await seen(quick, "tasks", id=f"t{number}")
        slow.may_read.set()
        with anyio.fail_after(60):
            while not slow.is_over:
                await anyio.sleep(0.01)
        assert not quick.is_over
