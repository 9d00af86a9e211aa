"""Notifications to the service manager, received by a real datagram socket, and watchdog pings."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import structlog

from bridge.clock import SystemClock, monotonic_us
from bridge.errors import StoreError
from bridge.liveness import Liveness
from bridge.ports import Clock
from bridge.service import ServiceManager
from tests.fakes import FakeClock
from tests.service.manager import Manager
from tests.stopwatch import Stopwatch

WATCHDOG_S = 60.0
WATCHDOG = {"WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


class TracedClock(FakeClock):
    """CPython 3.11 does not trace the callers of a coroutine that an exception has woken. One more turn of the loop
    avoids this, so that coverage is right."""

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        woken = await super().wait(wake, timeout_s)
        await anyio.lowlevel.checkpoint()
        return woken


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as playing:
        yield playing


async def never() -> None:
    await anyio.sleep_forever()


async def at_once() -> None:
    await anyio.lowlevel.checkpoint()


async def disk_full() -> None:
    raise StoreError("disk full")


def liveness_of(
    service: ServiceManager, *, clock: Clock, answers: Callable[[], Awaitable[None]], syncing: bool = False
) -> Liveness:
    """The liveness as in the daemon, with the watchdog time of this manager."""
    return Liveness(clock=clock, answers=answers, syncing=lambda: syncing, max_silence_s=service.watchdog_s)


@asynccontextmanager
async def watched(
    manager: Manager, *, answers: Callable[[], Awaitable[None]], syncing: bool = False, watchdog_pid: int | None = None
) -> AsyncIterator[Callable[[float], Awaitable[int]]]:
    """Yields a function that lets this many seconds pass and returns how many pings came."""
    pid = {} if watchdog_pid is None else {"WATCHDOG_PID": str(watchdog_pid)}
    service, clock = ServiceManager({**manager.environ, **WATCHDOG, **pid}), TracedClock()
    liveness = liveness_of(service, clock=clock, answers=answers, syncing=syncing)

    async def pings_in(seconds: float) -> int:
        await clock.advance(seconds)
        return manager.heard().count("WATCHDOG=1")

    async with anyio.create_task_group() as group:
        group.start_soon(liveness.run, service.alive)
        await anyio.wait_all_tasks_blocked()
        yield pings_in
        group.cancel_scope.cancel()


def test_ready_reloading_and_stopping_are_one_datagram_each(manager: Manager) -> None:
    service = ServiceManager(manager.environ)
    service.ready("watching 3 tasks")
    before = monotonic_us()
    service.reloading()
    after = monotonic_us()
    service.ready("provider\nis slow")
    service.stopping()
    notices = manager.heard()
    assert notices[0] == "READY=1\nSTATUS=watching 3 tasks"
    reloading, stamp = notices[1].split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= after
    assert notices[2:] == ["READY=1\nSTATUS=provider is slow", "STOPPING=1"]


def test_an_abstract_socket_is_reached_through_its_at_sign() -> None:
    name = f"genbridge-{secrets.token_hex(8)}"
    with Manager("\0" + name) as playing:
        ServiceManager({"NOTIFY_SOCKET": "@" + name}).stopping()
        assert playing.heard() == ["STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative/path"])
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    service = ServiceManager({**WATCHDOG, **({} if address is None else {"NOTIFY_SOCKET": address})})
    with structlog.testing.capture_logs() as lines:
        service.ready("up")
        service.reloading()
        service.alive()
        service.stopping()
    assert lines == []


def test_socket_errors_are_logged_once_and_never_raised(tmp_path: Path) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with structlog.testing.capture_logs() as lines:
        service.ready("up")
        service.stopping()
    assert [line["event"] for line in lines] == ["service.notify_failed"]


def test_a_service_manager_that_reads_nothing_delays_the_daemon_only_briefly(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(path))
        service = ServiceManager({"NOTIFY_SOCKET": str(path)})
        with structlog.testing.capture_logs() as lines:
            watch = Stopwatch()
            while not lines:
                service.ready("up")
        assert lines[0]["event"] == "service.notify_failed"
        assert watch.seconds < 5


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_counts_if_it_is_set_for_this_process(
    environ: Mapping[str, str], watchdog_s: float | None
) -> None:
    assert ServiceManager(environ).watchdog_s == watchdog_s


async def test_a_working_daemon_pings_the_watchdog_several_times_per_interval(manager: Manager) -> None:
    async with watched(manager, answers=at_once) as pings_in:
        assert await pings_in(WATCHDOG_S) >= 4
        assert [await pings_in(WATCHDOG_S / 4) for _ in range(8)] == [1] * 8


async def test_an_error_of_the_store_is_an_answer(manager: Manager) -> None:
    async with watched(manager, answers=disk_full) as pings_in:
        assert await pings_in(WATCHDOG_S) >= 4


async def test_a_store_that_never_answers_silences_the_watchdog(manager: Manager) -> None:
    async with watched(manager, answers=never) as pings_in:
        assert await pings_in(10 * WATCHDOG_S) == 0


async def test_a_slow_sync_does_not_count_as_hanging(manager: Manager) -> None:
    async with watched(manager, answers=never, syncing=True) as pings_in:
        assert [await pings_in(WATCHDOG_S / 2) >= 1 for _ in range(8)] == [True] * 8


async def test_a_watchdog_of_another_process_is_ignored(manager: Manager) -> None:
    async with watched(manager, answers=at_once, watchdog_pid=1) as pings_in:
        assert await pings_in(WATCHDOG_S) == 0


async def test_a_store_that_answers_after_all_is_pinged_for_again(manager: Manager) -> None:
    hung = anyio.Event()
    async with watched(manager, answers=hung.wait) as pings_in:
        assert await pings_in(WATCHDOG_S * 0.9) == 0
        hung.set()
        assert await pings_in(0) == 1
        assert await pings_in(WATCHDOG_S) >= 4


async def test_a_bug_in_the_liveness_check_is_not_hidden(manager: Manager) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    service = ServiceManager({**manager.environ, **WATCHDOG})
    with pytest.raises(ExceptionGroup) as raised:
        await liveness_of(service, clock=TracedClock(), answers=broken).run(service.alive)
    assert raised.group_contains(ZeroDivisionError)
    assert manager.heard() == []


async def test_a_blocked_event_loop_stops_the_watchdog_pings(manager: Manager) -> None:
    service = ServiceManager({**manager.environ, "WATCHDOG_USEC": "200000"})
    liveness = liveness_of(service, clock=SystemClock(), answers=at_once)
    async with anyio.create_task_group() as group:
        group.start_soon(liveness.run, service.alive)
        await anyio.sleep(0.2)
        assert manager.heard()
        time.sleep(0.5)  # the whole event loop is stuck
        assert manager.heard() == []
        group.cancel_scope.cancel()
