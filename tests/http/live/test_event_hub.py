"""The stream of events: read and encoded once for all followers, in order and resumable. Slow followers are dropped."""

from __future__ import annotations

import re

import anyio
import pytest

from bridge.clock import SystemClock
from bridge.config.settings_file import SettingsFile
from bridge.domain.change import Change
from bridge.domain.ids import WatchKey
from bridge.errors import StoreError
from bridge.http.live import event_hub
from bridge.http.live.live_hub import LiveHub
from bridge.store import Store
from bridge.store.event_log import FollowStore
from tests.http.live.following import CountingOffload, running
from tests.store.making import add, make_block, make_end, nobody


def no_settings() -> SettingsFile:
    raise AssertionError("events need no settings")


@pytest.fixture
def hub(follower: FollowStore, offload: CountingOffload) -> LiveHub:
    return LiveHub(store=follower, offload=offload, clock=SystemClock(), settings=no_settings)


def commit(store: Store, hub: LiveHub | None, *ids: str) -> None:
    """Finish these tasks and tell the hub, as the write batcher does."""
    add(store, *ids, now=0)
    changes: list[Change] = [make_end(WatchKey("kling", task_id), at=10) for task_id in ids]
    store.commit(changes, nobody)
    if hub is not None:
        hub.committed(changes)


def task_ids(frames: list[bytes]) -> list[str]:
    return [found[1].decode() for data in frames if (found := re.search(rb'"task_id":"([^"]*)"', data))]


def number(data: bytes) -> int:
    found = re.match(rb"id: (\d+)\n", data)
    assert found is not None
    return int(found[1])


async def test_without_followers_nothing_is_read(store: Store, hub: LiveHub, offload: CountingOffload) -> None:
    async with running(hub):
        commit(store, hub, "a")
        await anyio.sleep(0.1)
        hub.changed()
        await anyio.sleep(0.1)
    assert offload.calls == 0


async def test_all_followers_get_the_same_bytes_from_one_reading(
    store: Store, hub: LiveHub, offload: CountingOffload
) -> None:
    async with running(hub) as follow:
        readers = [await follow(hub.events.follow(None)) for _ in range(50)]
        await anyio.sleep(0.2)
        before = offload.calls
        commit(store, hub, "a", "b")
        for reader in readers:
            await reader.until(2)
        assert offload.calls - before <= 2
        for reader in readers[1:]:
            assert all(one is other for one, other in zip(reader.events, readers[0].events, strict=True))


async def test_readers_that_resume_at_the_same_event_share_one_read(
    store: Store, hub: LiveHub, offload: CountingOffload
) -> None:
    commit(store, None, *map(str, range(600)))
    async with running(hub) as follow:
        readers = [await follow(hub.events.follow(0)) for _ in range(50)]
        for reader in readers:
            assert task_ids(await reader.until(600)) == list(map(str, range(600)))
        assert offload.calls < len(readers)  # without the hub, each follower would read more than once
        assert all(one is other for one, other in zip(readers[0].events, readers[1].events, strict=True))


async def test_a_resumed_stream_has_the_missed_events_and_then_new_ones(store: Store, hub: LiveHub) -> None:
    commit(store, None, "a", "b", "c")
    async with running(hub) as follow:
        first = await follow(hub.events.follow(0))
        last = number((await first.until(3))[0])
        again = await follow(hub.events.follow(last))
        commit(store, hub, "d")
        assert task_ids(await again.until(3)) == ["b", "c", "d"]
        assert task_ids(await first.until(4)) == ["a", "b", "c", "d"]


async def test_a_filter_lets_its_topic_and_account_pass(store: Store, hub: LiveHub) -> None:
    async with running(hub) as follow:
        blocked = await follow(hub.events.follow(None, topic="account_blocked"))
        elsewhere = await follow(hub.events.follow(None, account="suno"))
        commit(store, hub, "a")
        store.commit([make_block()], nobody)
        hub.committed([make_block()])
        [frame] = await blocked.until(1)
        assert frame.split(b"\n")[1] == b"event: account_blocked"
        assert elsewhere.events == []


async def test_an_id_older_than_retention_gets_a_reset_and_then_new_events(store: Store, hub: LiveHub) -> None:
    commit(store, None, "a", "b")
    store.prune(now=1000, ended_s=9e9, delivered_s=10, dead_s=9e9, limit=500)
    async with running(hub) as follow:
        stream = await follow(hub.events.follow(0))
        [reset] = await stream.until(1)
        assert reset.split(b"\n")[:2] == [b"id: 2", b"event: reset"]
        assert b'{"oldest":1,"latest":2}' in reset
        commit(store, hub, "c")
        assert task_ids(await stream.until(2)) == ["c"]


async def test_a_follower_that_falls_too_far_behind_is_dropped_and_can_resume(
    store: Store, hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "MOST_BEHIND", 50)
    async with running(hub) as follow:
        slow, quick = await follow(hub.events.follow(None)), await follow(hub.events.follow(None))
        commit(store, hub, "first")
        await slow.until(1)
        slow.may_read = anyio.Event()
        commit(store, hub, "held")
        await slow.until(2)
        commit(store, hub, *map(str, range(100)))
        await quick.until(102)
        slow.may_read.set()
        with anyio.fail_after(60):
            while not slow.is_over:
                await anyio.sleep(0.01)
        back = await follow(hub.events.follow(number(slow.events[-1])))
        await back.until(102 - len(slow.events))
        assert task_ids(slow.events + back.events) == task_ids(quick.events)


async def test_memory_does_not_grow_with_what_has_been_sent(
    store: Store, hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "KEPT_BYTES", 20_000)
    async with running(hub) as follow:
        stream = await follow(hub.events.follow(None))
        for round_ in range(5):
            commit(store, hub, *(f"{round_}-{one}" for one in range(40)))
            await stream.until(40 * (round_ + 1))
        kept = hub.events._pages
        assert sum(len(one.body or b"") for page in kept.values() for one in page.events) == hub.events._kept_bytes
        assert len(kept) == 1 or hub.events._kept_bytes <= 20_000
        early = await follow(hub.events.follow(0))
        assert task_ids(await early.until(200)) == task_ids(stream.events)


async def test_a_store_that_fails_for_a_while_loses_no_event(
    store: Store, hub: LiveHub, follower: FollowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "AGAIN_S", 0.05)
    read, failures = follower.read_events, iter([True, True])

    def failing(after: int) -> object:
        if next(failures, False):
            raise StoreError("no answer")
        return read(after)

    async with running(hub) as follow:
        stream = await follow(hub.events.follow(None))
        await anyio.sleep(0.2)
        monkeypatch.setattr(follower, "read_events", failing)
        commit(store, hub, "a")
        assert task_ids(await stream.until(1)) == ["a"]


async def test_a_release_ends_every_stream(hub: LiveHub) -> None:
    async with running(hub) as follow:
        streams = [await follow(hub.events.follow(None)) for _ in range(3)]
        hub.release()
        with anyio.fail_after(60):
            while not all(stream.is_over for stream in streams):
                await anyio.sleep(0.01)
        assert hub.followers == 0


async def test_an_idle_stream_sends_heartbeats(hub: LiveHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "HEARTBEAT_S", 0.05)
    async with running(hub) as follow:
        stream = await follow(hub.events.follow(None))
        with anyio.fail_after(60):
            while len(stream.got) < 3:
                await anyio.sleep(0.01)
        assert set(stream.got[1:]) == {b":\n"}
