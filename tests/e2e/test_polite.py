"""The limits and pauses of requests, as the provider counts them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import KEY, World, drop, running_world, until

pytestmark = pytest.mark.long

WIRE_S = 0.3  # requests that were sent before the refusal arrived may still come in


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as world:
        yield world


class Refusing:
    """Answers slowly, so that many requests are in flight. The `at`th answer is a refusal, and so are all answers in
    the next `seconds`."""

    def __init__(self, *, status: int, at: int, seconds: float) -> None:
        self.refused_at: float | None = None
        self.came_early = 0
        self._status, self._at, self._seconds = status, at, seconds
        self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, task_id: str) -> tuple[int, bytes, Mapping[str, str]] | None:
        arrived_at = time.monotonic()
        time.sleep(0.1)
        with self._lock:
            self._seen += 1
            if self._seen == self._at:
                self.refused_at = time.monotonic()
            if self.refused_at is None:
                return None
            left_s = self.refused_at + self._seconds - time.monotonic()
            if left_s <= 0:
                return None
            if arrived_at > self.refused_at + WIRE_S:
                self.came_early += 1
            return self._status, b"", {"Retry-After": f"{left_s:.3f}"}


def two_keys(world: World, **limits: int) -> dict[str, object]:
    account = {
        "provider": "kling",
        "base_url": f"http://127.0.0.1:{world.provider_port}",
        "api_key": KEY,
        "action": "videos/text2video",
        "limits": {"rate": 200, "burst": 50, "concurrency": 16, **limits},
    }
    return {"one": account, "two": account}


@pytest.mark.parametrize(("status", "accounts"), [(429, ["one"]), (503, ["one", "two"])])
def test_no_request_comes_inside_a_retry_after_though_many_were_in_flight(
    tmp_path: Path, world: World, status: int, accounts: list[str]
) -> None:
    settings = world.settings(tmp_path, accounts=two_keys(world))
    for number in range(60):
        world.ends_at[f"t{number}"] = time.monotonic() + 8
    world.fault = refusing = Refusing(status=status, at=40, seconds=4.0)
    (tmp_path / "queue").mkdir()
    tasks = [{"id": task_id, "account": accounts[n % len(accounts)]} for n, task_id in enumerate(world.ends_at)]
    drop(tmp_path / "queue", "all.json", json.dumps(tasks))
    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.by_task()) == 60, seconds=40, what="every end")
        assert daemon.stop() == 0
    assert refusing.refused_at is not None
    assert refusing.came_early == 0


def test_a_503_with_long_retry_after_holds_one_account_and_is_explained(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path, accounts=two_keys(world))
    sick = (503, b"", {"Retry-After": "3600"})
    world.fault = lambda task_id: sick if task_id.startswith("sick") else None
    world.ends_at = {"well": time.monotonic() + 12, "well2": time.monotonic() + 3600}
    (tmp_path / "queue").mkdir()
    tasks = [{"id": "sick1", "account": "two"}, {"id": "sick2", "account": "two"}]
    drop(tmp_path / "queue", "all.json", json.dumps([*tasks, *({"id": i, "account": "one"} for i in world.ends_at)]))

    def said(*words: str) -> str:
        return completed(*words, folder=tmp_path).stdout

    with DaemonProcess(settings) as daemon:
        until(lambda: "well" in world.by_task(), seconds=40, what="the end of the other account's task")
        story, status = said("explain", "sick2"), json.loads(said("status", "--json"))
        assert daemon.stop() == 0
    assert sum(task_id.startswith("sick") for _, task_id in world.polls) <= 2
    assert sum(task_id == "well2" for _, task_id in world.polls) >= 5
    assert "account two waits on videos/text2video until" in story
    [held] = status["held_accounts"]
    assert (held["account"], held["scope"], held["route"]) == ("two", "route", "videos/text2video")
    assert b"account.paused" in daemon.log.read_bytes()


def test_a_suspended_process_continues_without_a_burst(tmp_path: Path, world: World) -> None:
    accounts = two_keys(world, rate=20, burst=10, concurrency=4)
    settings = world.settings(tmp_path, accounts={"one": accounts["one"]}, sharing={"takeover": "5s"})
    for number in range(300):
        world.ends_at[f"t{number}"] = time.monotonic() + 3600
    (tmp_path / "queue").mkdir()
    drop(tmp_path / "queue", "all.txt", "\n".join(world.ends_at))
    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.polls) > 40, seconds=20, what="polls")
        os.kill(daemon.pid, signal.SIGSTOP)
        time.sleep(5.5)
        os.kill(daemon.pid, signal.SIGCONT)
        time.sleep(4)
        assert daemon.stop() == 0
        assert "lease.lost" not in daemon.log.read_text()  # nobody else can take over a SQLite store
    instants = [at for at, _ in world.polls]
    most = max(sum(1 for at in instants if begun <= at < begun + 1) for begun in instants)
    print(f"\npolls in the busiest second: {most}")
    assert most <= 10 + 20 + 4 + 2  # the burst, the rate, what was in flight
