"""Threads for calls that block and may never return."""

from __future__ import annotations

import threading
import time

import anyio
import pytest

from bridge.sinks.seats import NoReturn, NoSeat, Seats


async def test_the_result_comes_back_from_a_daemon_thread_of_its_own() -> None:
    thread = await Seats(count=2, name="chat-x").run(threading.current_thread, timeout_s=5)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "chat-x"


async def test_a_call_that_hangs_is_given_up_and_keeps_its_seat_until_it_returns() -> None:
    seats = Seats(count=2, name="x")
    release = threading.Event()
    for _ in range(2):
        with pytest.raises(NoReturn, match="may still get through"):
            await seats.run(release.wait, timeout_s=0.05)
    begun_at = time.monotonic()
    with pytest.raises(NoSeat, match="still hang"):
        await seats.run(release.wait, timeout_s=30)
    assert time.monotonic() - begun_at < 5
    release.set()
    with anyio.fail_after(5):
        while True:
            try:
                assert await seats.run(lambda: 7, timeout_s=5) == 7
                return
            except NoSeat:
                await anyio.sleep(0.01)


async def test_calls_that_do_return_are_waited_for_in_turn() -> None:
    seats = Seats(count=2, name="x")
    busy = 0
    most = 0
    lock = threading.Lock()

    def work() -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02)
        with lock:
            busy -= 1
        return 1

    results: list[int] = []

    async def one() -> None:
        results.append(await seats.run(work, timeout_s=10))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(one)
    assert results == [1] * 10
    assert most == 2


async def test_who_waits_too_long_for_a_seat_is_told_so() -> None:
    seats = Seats(count=1, name="x")
    release = threading.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: seats.run(release.wait, timeout_s=10))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NoSeat, match="still running"):
            await seats.run(lambda: True, timeout_s=0.05)
        release.set()


async def test_a_cancelled_call_counts_as_given_up() -> None:
    seats = Seats(count=1, name="x")
    release = threading.Event()
    with anyio.move_on_after(0.05) as scope:
        await seats.run(release.wait, timeout_s=30)
    assert scope.cancelled_caught
    with pytest.raises(NoSeat, match="still hang"):
        await seats.run(lambda: True, timeout_s=30)
    release.set()


def test_a_call_that_outlives_the_event_loop_ends_quietly() -> None:
    release = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        release.wait()

    async def main() -> None:
        with pytest.raises(NoReturn):
            await Seats(count=1, name="x").run(work, timeout_s=0.05)

    anyio.run(main)
    release.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
