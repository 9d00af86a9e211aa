"""The real daemon as a process, between a real provider and a real receiver."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import STOP_S, DaemonProcess
from tests.fork_server import completed
from tests.stopwatch import Stopwatch
from tests.world import HOOK_KEY, World, drop, running_world, until

pytestmark = pytest.mark.long


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def genbridge(folder: Path, *words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of this folder, in a process of its own."""
    return completed(*words, folder=folder, stdin=stdin, env=env)


def listed(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = genbridge(folder, "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.wheel
def test_a_file_in_the_queue_becomes_a_verified_webhook(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    with DaemonProcess(settings) as daemon:
        until(lambda: (tmp_path / "queue").is_dir(), seconds=10, what="the queue folder")
        world.ends_at["0123"] = time.monotonic() + 1.5
        drop(tmp_path / "queue", "one.yaml", "id: 0123\nlabel: A film\nmeta: {order: 7}\n")
        until(lambda: bool(world.received), seconds=15, what="the webhook")
        assert daemon.stop() == 0
    [told] = world.received
    assert told.headers["Authorization"] == f"Bearer {HOOK_KEY}"
    assert told.headers["Content-Type"] == "application/json"
    assert told.headers["webhook-id"] == told.data["event_id"]
    assert told.topic == "task_succeeded"
    data = told.data
    assert list(data) == [
        *("task_id", "task_status", "task_status_msg", "created_at", "updated_at", "task_result", "urls"),
        *("expires_at", "reason", "provider", "account", "action", "label", "meta", "event_id"),
        *("watched_at", "ended_at", "result_missing", "error_code", "archive"),
    ]
    assert (data["task_id"], data["task_status"], data["label"], data["meta"]) == (
        "0123",
        "succeed",
        "A film",
        {"order": 7},
    )
    assert data["task_result"]["videos"][0]["url"] == data["urls"][0]
    assert list((tmp_path / "queue").iterdir()) == []


def test_a_command_is_noticed_by_the_daemon_within_a_second(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    world.ends_at["late"] = 0.0
    with DaemonProcess(settings) as daemon:
        until(lambda: (tmp_path / "queue").is_dir(), seconds=10, what="the daemon")
        time.sleep(0.5)
        done = genbridge(tmp_path, "add", "late", "--label", "x", "--meta", "a=b")
        assert done.returncode == 0, done.stderr
        noticing = Stopwatch(daemon.pid)
        until(lambda: bool(world.received), seconds=5, what="the webhook")
        assert noticing.seconds < 1.0
    [row] = listed(tmp_path)
    assert row["phase"] == "succeeded"
    assert row["urls"] == world.received[0].data["urls"]
    assert row["meta"] == {"a": "b"}


def test_a_second_daemon_on_the_same_store_refuses_and_names_the_holder(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    with DaemonProcess(settings) as daemon:
        until(lambda: (tmp_path / "state.db").exists(), seconds=10, what="the store")
        time.sleep(0.3)
        second = genbridge(tmp_path, "run")
        assert second.returncode == 75
        assert str(daemon.pid) in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1


def test_an_answer_that_arrives_while_the_daemon_is_suspended_counts(tmp_path: Path, world: World) -> None:
    sent, answer = threading.Event(), threading.Event()

    def receive(event_id: str, times: int) -> int:
        sent.set()
        answer.wait(30)
        return 200

    world.receive = receive
    world.ends_at["a"] = 0.0
    settings = world.settings(tmp_path, delivery={"timeout": "3s", "retries": ["0.3s"]})
    with DaemonProcess(settings) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=10, what="readiness")
        drop(tmp_path / "queue", "a.txt", "a\n")
        assert sent.wait(30)
        time.sleep(0.5)  # so that it only waits for the answer
        os.kill(daemon.pid, signal.SIGSTOP)
        answer.set()
        time.sleep(3.5)
        os.kill(daemon.pid, signal.SIGCONT)
        until(lambda: "delivery.accepted" in daemon.log.read_text(), seconds=5, what="the outcome")
        assert daemon.stop() == 0
    assert len(world.received) == 1


def test_ctrl_c_stops_in_ten_seconds_with_exit_0_and_repeats_nothing(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    for number in range(50):
        world.ends_at[f"t{number}"] = time.monotonic() + (number / 20 if number < 40 else 3600)
    (tmp_path / "queue").mkdir()
    drop(tmp_path / "queue", "all.txt", "\n".join(world.ends_at))
    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.received) > 5, seconds=20, what="some webhooks")
        assert daemon.stop(number=signal.SIGINT) == 0
    accepted = len(world.received)
    world.ends_at = dict.fromkeys(world.ends_at, time.monotonic())
    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.by_task()) == 50, seconds=30, what="the rest")
        time.sleep(0.5)
        assert daemon.stop() == 0
    assert accepted < 50 <= len(world.received)
    assert len({told.event_id for told in world.received}) == len(world.received) == 50


def test_an_invalid_settings_file_is_ignored_and_a_valid_one_applied(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    good = settings.read_text()
    with DaemonProcess(settings) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=10, what="readiness")
        settings.write_text(good.replace('"queue"', '"quueue"'))
        until(lambda: "settings.invalid" in daemon.log.read_text(), seconds=5, what="the complaint")
        settings.write_text(good.replace("state.db", "other.db"))
        until(
            lambda: "it uses another store only after a restart" in daemon.log.read_text(),
            seconds=5,
            what="the refusal",
        )
        world.ends_at["a"] = 0.0
        drop(tmp_path / "queue", "a.txt", "a\n")
        until(lambda: len(world.received) == 1, seconds=10, what="work by the old settings")
        changed = json.loads(good)
        changed["endpoints"]["hook"]["headers"] = {"X-New": "yes"}
        settings.write_text(json.dumps(changed))
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: "settings.reloaded" in daemon.log.read_text(), seconds=5, what="the reload")
        world.ends_at["b"] = 0.0
        drop(tmp_path / "queue", "b.txt", "b\n")
        until(lambda: len(world.received) == 2, seconds=10, what="work by the new settings")
        assert daemon.stop() == 0
    assert "X-New" not in world.received[0].headers
    assert world.received[1].headers["X-New"] == "yes"
    assert "quueue" in daemon.log.read_text()
    assert HOOK_KEY not in daemon.log.read_text()


@pytest.mark.wheel
def test_once_works_until_everything_is_delivered_and_sets_its_exit_code(tmp_path: Path, world: World) -> None:
    world.settings(tmp_path, delivery={"retries": ["0.1s"]})
    for task_id in ("a", "b"):
        world.ends_at[task_id] = time.monotonic() + 1
        assert genbridge(tmp_path, "add", task_id).returncode == 0
    assert genbridge(tmp_path, "once", "--timeout", "30s").returncode == 0
    assert len(world.received) == 2
    world.receive = lambda event_id, times: 500
    world.ends_at["c"] = 0.0
    genbridge(tmp_path, "add", "c")
    assert genbridge(tmp_path, "once", "--timeout", "30s").returncode == 1
    deliveries = json.loads(genbridge(tmp_path, "deliveries", "--json", "--state", "dead").stdout)
    assert [(one["id"], one["state"], one["attempts"]) for one in deliveries] == [("c", "dead", 2)]
    world.receive = lambda event_id, times: 200
    assert genbridge(tmp_path, "redeliver", "--dead").returncode == 0
    assert genbridge(tmp_path, "once", "--timeout", "30s").returncode == 0
    told = world.by_task()["c"]
    assert len({one.event_id for one in told}) == 1
    assert len({one.body for one in told}) == 1


@pytest.mark.wheel
def test_commands_show_the_state_and_have_the_right_exit_codes(tmp_path: Path, world: World) -> None:
    world.settings(tmp_path)
    world.ends_at.update(good=0.0, bad=0.0)
    world.fails.add("bad")
    assert "already watched" in genbridge(tmp_path, "add", "good", "good", "bad").stdout
    assert genbridge(tmp_path, "once", "--timeout", "30s").returncode == 0
    assert "has finished" in genbridge(tmp_path, "add", "good").stdout
    story = genbridge(tmp_path, "explain", "good").stdout
    for part in ("added", "succeeded", "task_succeeded to hook: accepted", "attempt 1"):
        assert part in story
    shown = json.loads(genbridge(tmp_path, "show", "bad", "--json").stdout)
    assert shown["phase"] == "failed"
    assert shown["reason"] == "Failure to pass the risk control system"
    assert shown["deliveries"][0]["state"] == "accepted"
    assert genbridge(tmp_path, "wait", "good").returncode == 0
    assert genbridge(tmp_path, "wait", "good", "bad").returncode == 1
    assert genbridge(tmp_path, "add", "slow").returncode == 0
    assert genbridge(tmp_path, "wait", "slow", "--timeout", "0.5s").returncode == 75
    assert genbridge(tmp_path, "withdraw", "slow").returncode == 0
    assert [row["phase"] for row in listed(tmp_path, "--phase", "withdrawn")] == ["withdrawn"]
    assert genbridge(tmp_path, "explain", "nobody").returncode == 1
    assert genbridge(tmp_path, "add", "..").returncode == 2
    assert genbridge(tmp_path, "list", "--phase", "odd").returncode == 2
    status = json.loads(genbridge(tmp_path, "status", "--json").stdout)
    assert status["watches"] == {"succeeded": 1, "failed": 1, "withdrawn": 1}
    assert status["daemon"] is None
    assert genbridge(tmp_path, "run", "--config", "nowhere.yaml").returncode == 78


def test_secrets_appear_in_no_output(tmp_path: Path, world: World) -> None:
    canary = "canary-secret-5f2b9"
    settings = json.loads(world.settings(tmp_path).read_text())
    settings["accounts"]["kling"]["api_key"] = "${CANARY}"
    settings["log"] = {"level": "debug"}
    (tmp_path / "genbridge.yaml").write_text(json.dumps(settings))
    world.ends_at["a"] = 0.0
    genbridge(tmp_path, "add", "a")
    with DaemonProcess(tmp_path / "genbridge.yaml", env={"CANARY": canary}) as daemon:
        until(lambda: "account_blocked" in {told.topic for told in world.received}, seconds=10, what="the notice")
        told = [one.body for one in world.received]
        daemon.stop()
    seen = daemon.log.read_bytes() + b"".join(told)
    for file in tmp_path.iterdir():
        seen += file.read_bytes() if file.is_file() else b""
    for words in (["list"], ["status"], ["explain", "a"], ["deliveries"]):
        seen += genbridge(tmp_path, *words).stdout.encode()
    assert canary.encode() not in seen


def test_a_stop_signal_works_while_new_settings_wait_for_the_store(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    with DaemonProcess(settings) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=10, what="the daemon")
        (tmp_path / "ids.txt").write_text("a\n")
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            world.settings(tmp_path, sources={"lines": "ids.txt"})
            time.sleep(1.8)  # the change is noticed within one second; then the new source waits for two
            os.kill(daemon.pid, signal.SIGTERM)
            assert daemon.exits_within(STOP_S) == 0
    assert "Traceback" not in daemon.log.read_text()


def test_new_settings_are_taken_as_soon_as_the_store_can_be_written(tmp_path: Path, world: World) -> None:
    settings = world.settings(tmp_path)
    world.ends_at["a"] = 0.0
    world.receive = lambda event_id, times: 410
    with DaemonProcess(settings) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=10, what="the daemon")
        drop(tmp_path / "queue", "one.txt", "a\n")
        until(lambda: "endpoint.disabled" in daemon.log.read_text(), seconds=10, what="the answer 410")
        world.receive = lambda event_id, times: 200
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # new settings that enable an endpoint are written to the store
            hook = {"type": "webhook", "url": f"http://127.0.0.1:{world.receiver_port}/new"}
            world.settings(tmp_path, endpoints={"hook": hook}, sources={"queue": "other/"})
            until(lambda: "store.failed" in daemon.log.read_text(), seconds=15, what="the failure")
        until((tmp_path / "other").is_dir, seconds=15, what="the new settings")
        until(lambda: world.received[-1].answered == 200, seconds=10, what="the webhook")
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log.read_text()
