"""If the log cannot be written, the daemon and commands continue, and report lost lines later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import DaemonProcess
from tests.disks import fill, small_disk
from tests.world import World, drop, running_world, until

pytestmark = pytest.mark.long

DEBUG = {"level": "debug", "format": "json"}


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def works(daemon: DaemonProcess, world: World, folder: Path, *ids: str) -> None:
    """Check that the daemon takes each task, polls it, and sends its webhook."""
    until(lambda: (folder / "queue").is_dir(), seconds=10, what="the queue folder")
    for task_id in ids:
        world.ends_at[task_id] = 0.0
    drop(folder / "queue", "tasks.txt", "".join(f"{task_id}\n" for task_id in ids))
    until(lambda: set(ids) <= world.by_task().keys(), seconds=15, what="the webhooks")
    assert daemon.process.poll() is None


def test_a_log_on_a_full_device_does_not_stop_the_daemon(tmp_path: Path, world: World) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with DaemonProcess(world.settings(tmp_path, log=DEBUG), stderr=full) as daemon:
        works(daemon, world, tmp_path, "a", "b")
        assert daemon.stop() == 0


def test_a_log_without_a_reader_does_not_stop_the_daemon(tmp_path: Path, world: World) -> None:
    reader, writer = os.pipe()
    with DaemonProcess(world.settings(tmp_path, log=DEBUG), stderr=writer) as daemon:
        os.close(writer)
        until(lambda: (tmp_path / "queue").is_dir(), seconds=10, what="the queue folder")
        os.close(reader)
        works(daemon, world, tmp_path, "a", "b")
        assert daemon.stop() == 0


def test_a_log_without_a_reader_delays_the_daemon_only_briefly(tmp_path: Path, world: World) -> None:
    reader, writer = os.pipe()
    with DaemonProcess(world.settings(tmp_path, log=DEBUG), stderr=writer) as daemon:
        os.close(writer)
        ids = [f"t{number}" for number in range(400)]
        works(daemon, world, tmp_path, *ids)
        began = time.monotonic()
        while len(os.read(reader, 1 << 16)) == 1 << 16:
            pass
        works(daemon, world, tmp_path, "last")
        assert time.monotonic() - began < 30
        said = b""
        while b"log.dropped" not in said:
            said += os.read(reader, 1 << 16)
        assert daemon.stop() == 0
    os.close(reader)


def test_a_closed_terminal_does_not_stop_the_daemon(tmp_path: Path, world: World) -> None:
    master, slave = os.openpty()
    with DaemonProcess(world.settings(tmp_path, log=DEBUG), stderr=slave) as daemon:
        os.close(slave)
        until(lambda: (tmp_path / "queue").is_dir(), seconds=10, what="the queue folder")
        os.close(master)
        works(daemon, world, tmp_path, "a")
        assert daemon.stop() == 0


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_closed_stderr_does_not_stop_the_daemon(tmp_path: Path, world: World, closed: str) -> None:
    settings = world.settings(tmp_path, log=DEBUG)
    wrapper = ["sh", "-c", f'exec "$0" "$@" {closed}']
    with DaemonProcess(settings, wrapper=wrapper) as daemon:
        works(daemon, world, tmp_path, "a")
        daemon.process.terminate()
        assert daemon.process.wait(15) == 0


def fill_until_lines_are_lost(disk: Path, daemon: DaemonProcess, settings: Path) -> Path:
    """Keep the disk full until the daemon's lines no longer reach the log. Returns the file that fills the disk.

    To fill it once is not enough: the last page of the log may have room for twenty lines, and the daemon frees pages
    when it deletes files. It also stops polling while it cannot store anything. So each SIGHUP makes it log that the
    settings are invalid.
    """
    filler = fill(disk)
    os.truncate(settings, 1)

    def is_silent() -> bool:
        before = daemon.log.stat().st_size
        for _ in range(3):
            fill(disk)
            os.kill(daemon.pid, signal.SIGHUP)
            time.sleep(0.7)
        return daemon.log.stat().st_size == before

    until(is_silent, seconds=30, what="lines that the full disk keeps out of the log")
    return filler


@pytest.mark.real
def test_a_full_disk_stops_nothing_and_cuts_no_log_line(tmp_path: Path, world: World) -> None:
    with small_disk(tmp_path / "disk", size="4m") as disk:
        settings = world.settings(disk, log=DEBUG)
        (disk / "queue").mkdir()
        with DaemonProcess(settings) as daemon:
            running = [f"r{number}" for number in range(40)]
            world.ends_at.update(dict.fromkeys(running, time.monotonic() + 3600))
            drop(disk / "queue", "running.txt", "\n".join(running))
            works(daemon, world, disk, "before")
            text = settings.read_bytes()
            filler = fill_until_lines_are_lost(disk, daemon, settings)
            world.ends_at.update(dict.fromkeys(running, 0.0))  # their ends cannot be stored
            time.sleep(3)
            assert daemon.process.poll() is None
            filler.unlink()
            settings.write_bytes(text)
            until(lambda: {*running} <= world.by_task().keys(), seconds=15, what="what ended meanwhile")
            works(daemon, world, disk, "after")
            until(lambda: b'"log.dropped"' in daemon.log.read_bytes(), seconds=5, what="word of the lost lines")
            assert daemon.stop() == 0
        lines = [json.loads(line) for line in daemon.log.read_text().splitlines() if line]
        [dropped, *_] = [line for line in lines if line["event"] == "log.dropped"]
        assert dropped["count"] > 0
        assert "No space left" in dropped["reason"]


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true"])
def test_commands_work_although_the_log_cannot_be_written(tmp_path: Path, world: World, redirection: str) -> None:
    world.settings(tmp_path)
    world.ends_at["a"] = 0.0
    run = f"{sys.executable} -m bridge"

    def sh(words: str) -> int:
        script = f"set -o pipefail; {run} {words}"
        return subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False, timeout=60).returncode

    assert sh(f"add a {redirection}") == 0
    assert sh(f"once {redirection}") == 0
    assert world.by_task().keys() == {"a"}
    assert sh(f"show unknown {redirection}") == 1
    assert sh(f"--nonsense {redirection}") == 2


@pytest.mark.real
def test_a_full_disk_is_logged_once_at_its_beginning_and_end(tmp_path: Path, world: World) -> None:
    with small_disk(tmp_path / "disk", size="4m") as disk:
        hook = {"type": "webhook", "url": f"http://127.0.0.1:{world.receiver_port}/hook"}
        endpoints = {f"hook{number}": hook for number in range(13)}
        settings = world.settings(disk, endpoints=endpoints)
        (disk / "queue").mkdir()
        log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        with DaemonProcess(settings, stderr=log) as daemon:
            running = [f"r{number}" for number in range(40)]
            world.ends_at.update(dict.fromkeys(running, time.monotonic() + 3600))
            drop(disk / "queue", "running.txt", "\n".join(running))
            works(daemon, world, disk, "before")
            filler = fill(disk)
            world.ends_at.update(dict.fromkeys(running, 0.0))
            time.sleep(8)
            filler.unlink()
            until(lambda: {*running} <= world.by_task().keys(), seconds=20, what="what ended meanwhile")
            until(lambda: "store.recovered" in (tmp_path / "log").read_text(), seconds=10, what="word of the recovery")
            assert daemon.stop() == 0
        said = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [line["event"] for line in said if line["event"].startswith("store.")] == [
            "store.failed",
            "store.recovered",
        ]
