"""A large file in the queue of a real daemon delays nothing, and kill -9 while it is read loses nothing."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.daemon_process import DaemonProcess
from tests.world import World, drop, kling, running_world, until

FLOOD = 30_000


def flood_of(count: int) -> str:
    return "".join(f"- {{id: flood-{number:06d}, label: shot}}\n" for number in range(count))


def watched(folder: Path) -> int:
    """How many tasks the store holds. (The index on their ids prevents duplicates.)"""
    with sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True) as store:
        count: int = store.execute("SELECT count(*) FROM watches").fetchone()[0]
        return count


def endless_world() -> World:
    """A world in which no task ever finishes."""
    return World(fault=lambda task_id: (200, json.dumps(kling(task_id, "processing")).encode(), {}))


@pytest.mark.long
def test_polls_and_small_files_go_on_while_a_large_one_is_read(tmp_path: Path) -> None:
    with running_world(endless_world()) as world:
        with DaemonProcess(world.settings(tmp_path)) as daemon:
            until(lambda: (tmp_path / "queue").is_dir(), seconds=10, what="the queue folder")
            drop(tmp_path / "queue", "large.yaml", flood_of(FLOOD))
            until(lambda: len(world.polls) > 10, seconds=10, what="the first polls")
            drop(tmp_path / "queue", "good.txt", "good\n")
            until(lambda: any(task_id == "good" for _, task_id in world.polls), seconds=5, what="the poll of good")
            at = next(at for at, task_id in world.polls if task_id == "good")
            until(lambda: watched(tmp_path) == FLOOD + 1, seconds=30, what="all of the large file")
            instants = [instant for instant, _ in world.polls]
            assert daemon.stop() == 0
    assert sum(instant > at for instant in instants) > 100, "good did not wait for the end of the large file"
    gaps = [later - earlier for earlier, later in itertools.pairwise(instants)]
    assert sum(gap > 1.0 for gap in gaps) == 0


@pytest.mark.long
def test_kill_9_in_the_middle_of_a_large_file_loses_nothing(tmp_path: Path) -> None:
    with running_world(endless_world()) as world:
        settings = world.settings(tmp_path)
        slowed = json.loads(settings.read_text())
        slowed["accounts"]["kling"]["limits"] |= {"rate": 50, "burst": 50}  # polls would take most of the time
        settings.write_text(json.dumps(slowed))
        (tmp_path / "queue").mkdir()
        drop(tmp_path / "queue", "large.yaml", flood_of(FLOOD))
        for kills in range(1, 4):
            with DaemonProcess(settings) as daemon:
                until(
                    lambda kills=kills: (tmp_path / "state.db").exists() and watched(tmp_path) > kills * 2500,  # type: ignore[misc]
                    seconds=20,
                    what="a part of it",
                )
                daemon.kill()
            assert (tmp_path / "queue" / "large.yaml").exists()
        with DaemonProcess(settings) as daemon:
            until(lambda: not list((tmp_path / "queue").iterdir()), seconds=60, what="the end of it")
            assert daemon.stop() == 0
    assert watched(tmp_path) == FLOOD


def test_a_daemon_that_reads_a_large_watchlist_stops_at_once(tmp_path: Path) -> None:
    world = World()
    with running_world(world):
        settings = world.settings(tmp_path, sources={"watchlist": "tasks.yaml"})
        (tmp_path / "tasks.yaml").write_text("- a b\n" * 2_000_000)
        with DaemonProcess(settings) as daemon:
            until(lambda: is_reading(daemon.pid), seconds=20, what="the process that reads the watchlist")
            time.sleep(1)
            assert is_reading(daemon.pid)
            os.kill(daemon.pid, signal.SIGTERM)
            assert daemon.exits_within(5) == 0


def is_reading(pid: int) -> bool:
    """Whether the daemon has started a process, as it does for a large file."""
    return any(children.read_text() for children in Path(f"/proc/{pid}/task").glob("*/children"))
