"""`genbridge status --health` for a real daemon that works, is frozen or has exited."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.control.daemon_health import MAX_SILENCE_S
from bridge.store import DaemonLock
from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import World, until

pytestmark = pytest.mark.long


def health(folder: Path) -> tuple[int, str]:
    """The exit code and the output of `status --health`."""
    done = completed("status", "--health", folder=folder)
    return done.returncode, done.stdout.strip()


@contextmanager
def ready(settings: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(settings) as daemon:
        until(lambda: '"daemon.ready"' in daemon.log.read_text(), seconds=10, what="the daemon is ready")
        yield daemon


@pytest.fixture
def world() -> World:
    return World(provider_port=9, receiver_port=9)  # nobody listens there, and nothing is sent


def pass_time(store: Path, seconds: float) -> None:
    """Make the last sign of life of a frozen daemon older by this much."""
    lock = store.with_name("state.db.lock")
    record = json.loads(lock.read_bytes())
    lock.write_text(json.dumps({**record, "alive_us": f"{int(record['alive_us']) - int(seconds * 1e6):020}"}))


def test_a_frozen_daemon_is_not_healthy_also_without_a_server(tmp_path: Path, world: World) -> None:
    store = tmp_path / "state.db"
    with ready(world.settings(tmp_path)) as daemon:
        until(lambda: DaemonLock.silence_s(store) is not None, seconds=5, what="a first sign of life")
        assert health(tmp_path) == (0, "healthy")
        os.kill(daemon.pid, signal.SIGSTOP)
        pass_time(store, MAX_SILENCE_S)
        code, said = health(tmp_path)
        assert code == 1
        assert f"genbridge pid {daemon.pid} on host" in said
        assert "is not responding: it last worked" in said
        os.kill(daemon.pid, signal.SIGCONT)
        until(lambda: health(tmp_path) == (0, "healthy"), seconds=20, what="it works again")
        assert daemon.stop() == 0
    assert health(tmp_path) == (1, "no daemon is running")


def test_a_daemon_with_older_settings_is_healthy_while_the_file_is_invalid(tmp_path: Path, world: World) -> None:
    with ready(world.settings(tmp_path)) as daemon:
        world.settings(tmp_path, log={"level": "loud"})
        until(lambda: '"settings.invalid"' in daemon.log.read_text(), seconds=10, what="the mistake")
        assert health(tmp_path) == (0, "healthy")


def test_a_frozen_daemon_on_a_shared_store_is_not_healthy(tmp_path: Path, world: World, postgres: PostgresUrl) -> None:
    sharing = {"name": "a", "takeover": "5s"}
    with ready(world.settings(tmp_path, store=postgres.reveal(), sharing=sharing)) as daemon:
        assert health(tmp_path) == (0, "healthy")
        os.kill(daemon.pid, signal.SIGSTOP)
        until(lambda: health(tmp_path) == (1, "no daemon is running"), seconds=10, what="its lease ends")
