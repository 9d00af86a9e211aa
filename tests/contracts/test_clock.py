"""The promises of a clock, for the system clock and the fake clock."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from bridge.clock import SystemClock
from bridge.ports import Clock
from tests.fakes import FakeClock

GENEROUS_S = 2.0  # a busy machine wakes late

Passing = Callable[[float], Awaitable[None]]


@pytest.fixture(params=["system", "fake"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return SystemClock() if request.param == "system" else FakeClock()


@pytest.fixture
def passing(clock: Clock) -> Passing:
    """Waits until this much time has passed, or moves the fake clock."""

    async def passed(seconds: float) -> None:
        if isinstance(clock, FakeClock):
            await clock.advance(seconds)
        else:
            await anyio.sleep(seconds)

    return passed


async def test_steady_time_starts_as_wall_time_and_never_goes_back(clock: Clock, passing: Passing) -> None:
    assert clock.steady() == pytest.approx(clock.now(), abs=GENEROUS_S)
    before = clock.steady()
    await passing(0.05)
    assert 0.04 <= clock.steady() - before <= GENEROUS_S


def test_random_numbers_are_between_0_and_1(clock: Clock) -> None:
    assert all(0.0 <= clock.chance() < 1.0 for _ in range(1000))


async def test_a_sleep_lasts_for_the_requested_time(clock: Clock, passing: Passing) -> None:
    woke: list[float] = []
    began = clock.steady()

    async def sleep() -> None:
        await clock.sleep(0.05)
        woke.append(clock.steady())

    async with anyio.create_task_group() as group:
        group.start_soon(sleep)
        await passing(0.02)
        assert woke == []
        await passing(0.05)
    assert 0.045 <= woke[0] - began <= GENEROUS_S


async def test_a_wait_says_whether_it_was_woken_or_the_time_was_over(clock: Clock, passing: Passing) -> None:
    said: dict[str, bool] = {}

    async def wait(name: str, wake: anyio.Event, timeout_s: float | None) -> None:
        said[name] = await clock.wait(wake, timeout_s)

    early, never = anyio.Event(), anyio.Event()
    early.set()
    late = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, "set before", early, 60.0)
        group.start_soon(wait, "set before, no time", early, 0.0)
        group.start_soon(wait, "time over", never, 0.05)
        group.start_soon(wait, "woken", late, 60.0)
        group.start_soon(wait, "woken, without a limit", late, None)
        await passing(0.1)
        late.set()
    assert said == {
        "set before": True,
        "set before, no time": True,
        "time over": False,
        "woken": True,
        "woken, without a limit": True,
    }


async def test_waiting_can_be_canceled_at_once(clock: Clock) -> None:
    began = time.monotonic()
    with anyio.move_on_after(0.05) as scope:
        await clock.wait(anyio.Event(), None)
    assert scope.cancelled_caught
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep, 60.0)
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert time.monotonic() - began < GENEROUS_S


async def test_setting_the_clock_changes_only_the_wall_time() -> None:
    clock = FakeClock()
    steady = clock.steady()
    clock.wall_offset = -3600.0
    assert clock.now() == pytest.approx(steady - 3600.0)
    assert clock.steady() == steady
