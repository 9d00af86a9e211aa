"""Threads for calls that block and may never return."""

from __future__ import annotations

import threading

import anyio
import pytest

from bridge.sinks.call_threads import CallThreads, NoThread
from tests.stopwatch import Stopwatch


async def test_a_call_runs_in_its_own_daemon_thread() -> None:
    thread = await CallThreads(count=2, name="chat-x").run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "chat-x"


async def test_an_abandoned_call_keeps_its_thread_until_it_returns() -> None:
    threads = CallThreads(count=2, name="x")
    release = threading.Event()
    for _ in range(2):
        with anyio.move_on_after(0.05):
            await threads.run(release.wait)
    watch = Stopwatch()
    with pytest.raises(NoThread, match="have not returned yet"):
        await threads.run(release.wait)
    assert watch.seconds < 5
    release.set()
    with anyio.fail_after(30):
        while True:
            try:
                assert await threads.run(lambda: 7) == 7
                return
            except NoThread:
                await anyio.sleep(0.01)


async def test_a_call_beyond_the_limit_is_refused_at_once() -> None:
    threads = CallThreads(count=1, name="x")
    release = threading.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: threads.run(release.wait))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NoThread, match="have not returned yet"):
            await threads.run(lambda: True)
        release.set()
    assert await threads.run(lambda: True)


async def test_a_canceled_call_counts_as_abandoned() -> None:
    threads = CallThreads(count=1, name="x")
    release = threading.Event()
    with anyio.move_on_after(0.05) as scope:
        await threads.run(release.wait)
    assert scope.cancelled_caught
    with pytest.raises(NoThread, match="have not returned yet"):
        await threads.run(lambda: True)
    release.set()


def test_a_call_that_outlives_the_event_loop_ends_quietly() -> None:
    release = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        release.wait()

    async def main() -> None:
        with anyio.move_on_after(0.05):
            await CallThreads(count=1, name="x").run(work)

    anyio.run(main)
    release.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
