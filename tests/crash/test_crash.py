"""No acknowledged task is lost when the real daemon is killed."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import statistics
import threading
import time
from pathlib import Path

import pytest

from tests.daemon_process import DaemonProcess
from tests.stopwatch import Stopwatch
from tests.world import RESET, ReceivedWebhook, World, drop, running_world, until

TASKS = 200
KILLS = 24
pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


class Killer:
    """Runs the daemon and kills it KILLS times: at random instants, just after a webhook arrived, during intake."""

    def __init__(self, settings: Path, world: World, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = world
        self.settings = settings
        self.recovery_s: list[float] = []
        self.struck = threading.Event()
        world.on_received = lambda webhook: self.struck.set()

    def run(self) -> None:
        queue = self.settings.parent / "queue"
        for number in range(KILLS):
            acts = len(self.world.polls) + len(self.world.received)
            with DaemonProcess(self.settings) as daemon:
                self.recover(daemon, acts)
                match number % 3:
                    case 0:
                        time.sleep(self.random.uniform(0.0, 0.8))
                    case 1:
                        self.struck.clear()
                        self.struck.wait(3)  # a webhook has just arrived, and its outcome is not stored yet
                    case _:
                        drop(queue, f"late-{number}.txt", "\n".join(self.late(number)))
                        time.sleep(self.random.uniform(0.45, 0.75))  # about the time when the daemon reads the file
                daemon.kill()

    def late(self, number: int) -> list[str]:
        ids = [f"late-{number}-{one}" for one in range(5)]
        for task_id in ids:
            self.world.ends_at[task_id] = time.monotonic() + self.random.uniform(0, 8)
        return ids

    def recover(self, daemon: DaemonProcess, acts: int) -> None:
        """Measure from the start of the process to its first useful act: a poll or a webhook."""
        life = Stopwatch(daemon.pid)
        while len(self.world.polls) + len(self.world.received) == acts and life.seconds < 8:
            time.sleep(0.005)
        self.recovery_s.append(life.seconds)


@pytest.mark.long
def test_no_kill_loses_a_result_or_sends_two_ids_for_it(tmp_path: Path) -> None:
    luck = random.Random(7)
    queue = tmp_path / "queue"
    queue.mkdir()
    world = World()
    world.receive = lambda event_id, times: luck.choices([200, 503, RESET], [8, 1, 1])[0]
    with running_world(world):
        settings = world.settings(tmp_path)
        ids = [f"task-{number:03d}" for number in range(TASKS)]
        for task_id in ids:
            world.ends_at[task_id] = time.monotonic() + luck.uniform(0, 60)
        world.fails = set(ids[::10])
        for start in range(0, TASKS, 20):
            drop(queue, f"batch-{start}.txt", "\n".join(ids[start : start + 20]))
        killer = Killer(settings, world, seed=11)
        killer.run()
        for task_id, ends_at in world.ends_at.items():
            world.ends_at[task_id] = min(ends_at, time.monotonic() + 1)
        with DaemonProcess(settings) as daemon:
            everything = set(world.ends_at)
            until(lambda: accepted(world) >= everything, seconds=60, what="every result accepted")
            time.sleep(1)
            assert daemon.stop() == 0
    check_promises(world)
    assert not list(queue.glob("rejected/*"))
    median = statistics.median(killer.recovery_s)
    print(f"\nrecovery: median {median:.2f} s, most {max(killer.recovery_s):.2f} s over {KILLS} kills")
    assert median <= 2
    assert max(killer.recovery_s) <= 5


def accepted(world: World) -> set[str]:
    return {task for task, webhooks in world.by_task().items() if any(one.answered == 200 for one in webhooks)}


def check_promises(world: World) -> None:
    """No result was lost, had two event ids or was invented, and each attempt had the same bytes."""
    by_task = world.by_task()
    assert set(by_task) == set(world.ends_at)
    for task_id, webhooks in by_task.items():
        assert len({one.event_id for one in webhooks}) == 1, f"two ids for the end of {task_id}"
        assert len({one.body for one in webhooks}) == 1, f"different bytes for {webhooks[0].event_id}"
        expected = "task_failed" if task_id in world.fails else "task_succeeded"
        assert {one.topic for one in webhooks} == {expected}
        assert all(one.at >= world.ends_at[task_id] - 0.001 for one in webhooks) or ended_early(
            world, task_id, webhooks
        )


def ended_early(world: World, task_id: str, webhooks: list[ReceivedWebhook]) -> bool:
    """Whether each webhook was sent after a poll of the task. The test lets tasks end earlier when it closes."""
    first_poll = min(at for at, polled in world.polls if polled == task_id)
    return min(one.at for one in webhooks) > first_poll


@pytest.mark.real
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (Debian package strace)")
def test_the_sync_of_the_commit_precedes_the_first_byte_of_the_send(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fdatasync,fsync,sendto,sendmsg,write"
    world = World()
    with running_world(world):
        settings = world.settings(tmp_path)
        for number in range(5):
            world.ends_at[f"task-{number}"] = 0.0
        drop(tmp_path / "queue", "tasks.txt", "\n".join(world.ends_at))
        strace = ["strace", "-f", "-qq", "-s", "20000", "-e", calls, "-o", str(trace)]
        with DaemonProcess(settings, wrapper=strace) as daemon:
            until(lambda: len(world.received) >= 5, seconds=60, what="five webhooks")
            os.kill(daemon.pid, signal.SIGTERM)
            daemon.process.wait(60)  # strace makes it slow
    lines = trace.read_text(errors="replace").splitlines()
    for webhook in world.received:
        assert_synced_before_sent(lines, webhook.event_id)


def assert_synced_before_sent(lines: list[str], event_id: str) -> None:
    sent = next(
        n for n, line in enumerate(lines) if event_id in line and re.search(r"\b(sendto|sendmsg|write)\(", line)
    )
    written = next(n for n, line in enumerate(lines) if event_id in line and "pwrite64(" in line)
    assert written < sent, "sent before it was written"
    descriptor = re.search(r"pwrite64\((\d+)", lines[written])
    assert descriptor is not None
    synced = [
        n
        for n, line in enumerate(lines)
        if written < n < sent and re.search(rf"f(data)?sync\({descriptor[1]}\)\s+= 0|f(data)?sync resumed.*= 0", line)
    ]
    assert synced, "sent before it was synced"
