"""One address per task: the requests of a real daemon to a real receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.stopwatch import Stopwatch
from tests.world import World, running_world, until

pytestmark = pytest.mark.long


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def _genbridge(folder: Path, *words: str) -> str:
    done = completed(*words, folder=folder)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def _settings(world: World, folder: Path, path: str) -> Path:
    url = f"http://127.0.0.1:{world.receiver_port}{path}"
    return world.settings(folder, endpoints={"flow": {"type": "webhook", "url": url}})


def test_retries_restarts_and_redeliveries_go_to_the_address_of_the_commit(tmp_path: Path, world: World) -> None:
    world.receive = lambda event_id, times: 503 if times < 2 else 200
    settings = _settings(world, tmp_path, "/waiting/{{ meta.execution }}?task={{ task_id }}")
    world.ends_at["t-1"] = 0.0
    _genbridge(tmp_path, "add", "t-1", "--meta", "execution=a/1")
    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.received) >= 1, seconds=10, what="the first attempt")
        daemon.kill()
    with DaemonProcess(_settings(world, tmp_path, "/elsewhere/{{ task_id }}")) as daemon:
        until(lambda: world.received[-1].answered == 200, seconds=20, what="an attempt that is accepted")
        event_id, count = world.received[0].event_id, len(world.received)
        accepted = ("deliveries", "--state", "accepted", "--json")
        until(lambda: event_id in _genbridge(tmp_path, *accepted), seconds=10, what="the outcome in the store")
        _genbridge(tmp_path, "redeliver", event_id)
        until(lambda: len(world.received) > count, seconds=10, what="the redelivery")
        assert daemon.stop() == 0

    assert {told.path for told in world.received} == {"/waiting/a%2F1?task=t-1"}
    assert len({(told.event_id, told.body) for told in world.received}) == 1


def test_a_delivery_without_a_value_for_its_url_is_dead_at_once(tmp_path: Path, world: World) -> None:
    settings = _settings(world, tmp_path, "/waiting/{{ meta.execution }}")
    world.ends_at["t-1"] = world.ends_at["t-2"] = 0.0
    _genbridge(tmp_path, "add", "t-1")
    _genbridge(tmp_path, "add", "t-2", "--meta", "execution=2")
    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.received) == 1, seconds=10, what="the other task's webhook")
        watch = Stopwatch()
        until(lambda: "t-1" in _genbridge(tmp_path, "deliveries", "--state", "dead"), seconds=10, what="the dead one")
        assert watch.seconds < 20
        assert daemon.stop() == 0

    assert world.received[0].path == "/waiting/2"
    [dead] = json.loads(_genbridge(tmp_path, "deliveries", "--state", "dead", "--json"))
    assert dead["last_outcome"] == "undeliverable"
    assert "{{ meta.execution }} has no value" in _genbridge(tmp_path, "explain", "t-1")


def test_the_sample_and_the_check_of_the_receiver_use_a_filled_address(tmp_path: Path, world: World) -> None:
    _settings(world, tmp_path, "/waiting/{{ meta.execution }}/{{ task_id }}")

    assert "accepted" in _genbridge(tmp_path, "test", "flow")
    said = _genbridge(tmp_path, "check", "--online")
    assert "{{" not in said
    assert "its url needs a task, which operator topics do not have" in said
    assert [told.path for told in world.received] == ["/waiting/sample/genbridge-sample"]
