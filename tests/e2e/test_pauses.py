"""Pauses in a running daemon: nothing is polled or sent, and the time does not count as age."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.config.postgres_url import PostgresUrl
from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import World, drop, running_world, until

pytestmark = pytest.mark.long


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def genbridge(folder: Path, *words: str, code: int = 0) -> str:
    done = completed(*words, "-c", folder / "genbridge.yaml")
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(genbridge(folder, "status", "--json"))
    return found


def settings(world: World, folder: Path, **polling: Any) -> Path:
    path = world.settings(folder)
    written = json.loads(path.read_text())
    written["polling"] = {**written.get("polling", {}), **polling}
    path.write_text(json.dumps(written))
    return path


def test_a_paused_account_is_not_polled_and_its_tasks_do_not_age(world: World, tmp_path: Path) -> None:
    path = settings(world, tmp_path, min_interval="200ms", max_interval="500ms", give_up_after="8s")
    with DaemonProcess(path):
        until((tmp_path / "queue").is_dir, seconds=15, what="the queue folder")
        drop(tmp_path / "queue", "a.txt", "task-one-1\n")
        until(lambda: len(world.polls) >= 2, seconds=15, what="polls")
        assert "nothing is polled" in genbridge(tmp_path, "pause", "kling")
        time.sleep(1.0)
        polls = len(world.polls)
        assert list(status(tmp_path)["paused_accounts"]) == ["kling"]
        assert "pause of account kling" in genbridge(tmp_path, "explain", "task-one-1")
        assert "after the pause" in genbridge(tmp_path, "poll", "task-one-1")
        time.sleep(9.0)
        assert len(world.polls) == polls, "not even when somebody asks"
        assert status(tmp_path)["live"] == 1, "give_up_after is over by the clock alone"
        assert "resumed" in genbridge(tmp_path, "resume", "kling")
        until(lambda: len(world.polls) > polls, seconds=5, what="polls again")
        time.sleep(1.0)
        assert status(tmp_path)["live"] == 1
        world.ends_at["task-one-1"] = time.monotonic()
        until(lambda: bool(world.received), seconds=10, what="the webhook")


def test_an_endpoints_pause_lasts_over_a_restart_until_its_end(world: World, tmp_path: Path) -> None:
    path = settings(world, tmp_path, min_interval="200ms", max_interval="500ms")
    genbridge(tmp_path, "add", "task-one-1")
    paused_at = time.monotonic()
    genbridge(tmp_path, "pause", "hook", "--for", "14s")
    world.ends_at["task-one-1"] = 0.0
    with DaemonProcess(path):
        until(lambda: status(tmp_path)["waiting"] == 1, seconds=10, what="the delivery")
        assert "paused" in genbridge(tmp_path, "explain", "task-one-1")
        [delivery] = json.loads(genbridge(tmp_path, "deliveries", "--json"))
        assert (delivery["state"], delivery["attempts"]) == ("waiting", 0)
        assert delivery["next_attempt_at"] == status(tmp_path)["paused_endpoints"]["hook"]
    assert world.received == []
    with DaemonProcess(path):
        until(lambda: bool(world.received), seconds=30, what="the webhook")
        assert time.monotonic() - paused_at >= 14.0
    assert status(tmp_path)["paused_endpoints"] == {}


def test_a_doubt_from_before_a_pause_is_not_believed_because_of_it(world: World, tmp_path: Path) -> None:
    path = settings(world, tmp_path, min_interval="200ms", max_interval="400ms", not_found={"answers": 3, "over": "8s"})
    well = world.fault
    world.fault = lambda task_id: (404, b'{"code": 1203, "message": "The requested resource does not exist"}', {})
    with DaemonProcess(path):
        genbridge(tmp_path, "add", "task-one-1")
        until(lambda: len(world.polls) >= 2, seconds=10, what="polls")
        genbridge(tmp_path, "pause", "kling", "--for", "9s")
        polls = len(world.polls)
        until(lambda: len(world.polls) > polls + 1, seconds=20, what="polls again")
        world.fault = well
        time.sleep(1.0)
        assert status(tmp_path)["live"] == 1


def test_a_name_to_pause_is_found_or_suggested(world: World, tmp_path: Path) -> None:
    path = settings(world, tmp_path)
    written = json.loads(path.read_text())
    written["endpoints"]["kling"] = written["endpoints"]["hook"]
    path.write_text(json.dumps(written))
    assert "no store yet" in genbridge(tmp_path, "pause", "hook", code=69)
    genbridge(tmp_path, "add", "task-one-1")
    assert 'did you mean "hook"?' in genbridge(tmp_path, "pause", "hok", code=2)
    said = genbridge(tmp_path, "pause", "kling", code=2)
    assert "accounts.kling or endpoints.kling" in said
    genbridge(tmp_path, "pause", "endpoints.kling")
    assert (list(status(tmp_path)["paused_endpoints"]), status(tmp_path)["paused_accounts"]) == (["kling"], {})
    assert "was not paused" in genbridge(tmp_path, "resume", "accounts.kling")
    assert "resumed" in genbridge(tmp_path, "resume", "endpoints.kling")
    assert "DURATION" in genbridge(tmp_path, "pause", "--help")
    genbridge(tmp_path, "pause", "hook", "--for", "soon", code=2)
    genbridge(tmp_path, "pause", "hook", "--for", "0s", code=2)


def test_once_does_not_wait_for_what_only_a_person_can_resume(world: World, tmp_path: Path) -> None:
    settings(world, tmp_path)
    genbridge(tmp_path, "add", "task-one-1")
    genbridge(tmp_path, "pause", "kling")
    began_at = time.monotonic()
    assert "once.unfinished" in genbridge(tmp_path, "once", "--timeout", "40s", code=1)
    assert time.monotonic() - began_at < 30


def test_every_daemon_on_a_shared_store_follows_a_pause(world: World, tmp_path: Path, postgres: PostgresUrl) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = settings(world, tmp_path / name, min_interval="200ms", max_interval="500ms")
        shared = {"store": postgres.reveal(), "sharing": {"name": name}}
        path.write_text(json.dumps({**json.loads(path.read_text()), **shared}))
    with (
        DaemonProcess(tmp_path / "one/genbridge.yaml"),
        DaemonProcess(tmp_path / "two/genbridge.yaml"),
    ):
        until(lambda: (tmp_path / "one/queue").is_dir(), seconds=20, what="the first daemon")
        genbridge(tmp_path / "one", "add", *(f"task-{number}-x" for number in range(12)))
        until(lambda: len({task for _, task in world.polls}) == 12, seconds=20, what="polls of all")
        genbridge(tmp_path / "two", "pause", "kling")
        time.sleep(1.5)
        polls = len(world.polls)
        time.sleep(3.0)
        assert len(world.polls) == polls
        genbridge(tmp_path / "one", "resume", "kling")
        until(lambda: len({task for _, task in world.polls[polls:]}) == 12, seconds=10, what="polls of all again")
