"""With few open files allowed, a real daemon is slower, and loses no attempts to receivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon_process import DaemonProcess
from tests.world import World, drop, running_world, until

pytestmark = pytest.mark.long

ENDPOINTS = [f"hook-{number}" for number in range(12)]
TASKS = [f"task-{number}" for number in range(20)]


def test_a_lack_of_open_files_costs_no_retries(tmp_path: Path) -> None:
    with running_world(World()) as world:
        settings = world.settings(tmp_path, endpoints=world.webhooks(*ENDPOINTS), delivery={"retries": ["1h"]})
        (tmp_path / "queue").mkdir()
        world.ends_at.update(dict.fromkeys(TASKS, 0.0))
        drop(tmp_path / "queue", "tasks.txt", "".join(f"{task}\n" for task in TASKS))
        with DaemonProcess(settings, wrapper=["prlimit", "--nofile=48"]) as daemon:
            until(lambda: len(world.received) >= len(TASKS) * len(ENDPOINTS), seconds=60, what="all webhooks")
            assert daemon.stop() == 0
        assert len(world.received) == len(TASKS) * len(ENDPOINTS)
    assert "too many open files" in daemon.log.read_text()
