"""What the real daemon sends to a service manager that the test imitates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.manager import Manager
from tests.stopwatch import Stopwatch

SETTINGS = """
store: state.db
accounts:
  kling: {provider: kling, base_url: "http://127.0.0.1:9", api_key: sk-1234}
sources: {queue: queue/}
endpoints:
  automation: {type: webhook, url: "http://127.0.0.1:9/hook"}
"""
WATCHDOG_S = 4.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as playing:
        yield playing


@contextmanager
def daemon(folder: Path, manager: Manager) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "genbridge.yaml").write_text(SETTINGS)
    (folder / "queue").mkdir()
    environ = {**os.environ, **manager.environ, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "run", "--config", str(folder / "genbridge.yaml")],
            env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=out,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        print(said.read_text())  # pytest shows it beside a failure


def test_a_daemon_says_that_it_is_ready_alive_reloading_and_stopping(tmp_path: Path, manager: Manager) -> None:
    with daemon(tmp_path, manager) as process:
        assert "STATUS=" in manager.await_notice("READY=1")
        for _ in range(3):
            waiting = Stopwatch(process.pid)
            manager.await_notice("WATCHDOG=1")
            assert waiting.seconds < WATCHDOG_S / 2
        process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in manager.await_notice("RELOADING=1")
        manager.await_notice("READY=1")
        process.send_signal(signal.SIGTERM)
        manager.await_notice("STOPPING=1")
        assert process.wait(timeout=10) == 0


def test_a_reload_that_fails_ends_in_ready_all_the_same(tmp_path: Path, manager: Manager) -> None:
    with daemon(tmp_path, manager) as process:
        manager.await_notice("READY=1")
        (tmp_path / "genbridge.yaml").write_text("accounts: 3\n")
        process.send_signal(signal.SIGHUP)
        manager.await_notice("RELOADING=1")
        manager.await_notice("READY=1")
        manager.await_notice("WATCHDOG=1")
        assert process.poll() is None
