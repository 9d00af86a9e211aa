"""Copies by a real daemon: killed at random bytes, delivered to a receiver, and listed."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.archive.buckets import BUCKET, environment
from tests.archive.file_server import serving
from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import Answer, World, kling, running_world, until

pytestmark = pytest.mark.long

FILE = b"\x00\x00\x00\x18ftypmp42" + random.Random(7).randbytes(40_000_000)
ROUTES = [{"topics": ["task_succeeded", "task_archived"], "endpoints": ["hook"]}]


class _Results(BaseHTTPRequestHandler):
    """A server of one file that supports ranges and takes its time."""

    protocol_version = "HTTP/1.1"
    starts: list[int] = []  # noqa: RUF012 - of the test that serves
    pause_s = 0.03  # pause after each of about forty pieces

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found and self.headers.get("If-Range") == '"v1"' else 0
        self.starts.append(start)
        if self.path.startswith("/gone"):
            self.send_error(410)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(len(FILE) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
        self.end_headers()
        try:
            for place in range(start, len(FILE), 1 << 20):
                self.wfile.write(FILE[place : place + (1 << 20)])
                time.sleep(self.pause_s)
        except OSError:
            self.close_connection = True


@contextmanager
def results(pause_s: float = 0.03) -> Iterator[tuple[str, list[int]]]:
    """The address of the server, and the first byte of each request."""
    handler = type("Results", (_Results,), {"starts": [], "pause_s": pause_s})
    with serving(handler, "0.0.0.0") as url:
        yield url, handler.starts  # type: ignore[attr-defined]


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def succeeds_with(url: str) -> Any:
    def answer(task_id: str) -> Answer:
        return 200, json.dumps(kling(task_id, "succeed", urls=[f"{url}/{task_id}.mp4"])).encode(), {}

    return answer


def genbridge(folder: Path, *words: str) -> str:
    done = completed(*words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archived(world: World) -> set[str]:
    return {one.data["task_id"] for one in list(world.received) if one.topic == "task_archived"}


def is_told(world: World) -> bool:
    return any(one.topic == "task_archived" for one in world.received)


def copies(folder: Path) -> list[Path]:
    """The files under final names, apart from records."""
    found = [path for path in (folder / "archive").rglob("*") if path.is_file() and ".partial" not in path.parts]
    return [path for path in found if path.suffix != ".json"]


def test_kill_9_at_any_byte_loses_nothing_and_leaves_no_half_file(tmp_path: Path, world: World) -> None:
    partial = tmp_path / "archive" / ".partial"
    with results() as (url, starts):
        world.fault = succeeds_with(url)
        settings = world.settings(tmp_path, archive={"to": "archive/"}, routes=ROUTES)
        genbridge(tmp_path, "add", "t-1", "--label", "cat", "--config", str(settings))
        for number in range(1, 6):
            with DaemonProcess(settings) as daemon:
                until(lambda: len(starts) >= number or is_told(world), seconds=30, what="a request")  # noqa: B023 - used here
                if number == 1:  # otherwise, on a busy machine, each kill might come before the first byte is stored
                    until(lambda: any(partial.glob("*.json")), seconds=30, what="the note of a part")
                time.sleep(random.Random(number).uniform(0, 0.4))
                daemon.kill()
            for path in copies(tmp_path):
                assert path.read_bytes() == FILE
        with DaemonProcess(settings):
            until(lambda: is_told(world), seconds=60, what="task_archived")

    assert sorted(starts)[-1] > 0  # a later download continued where an earlier one was killed
    [copy] = copies(tmp_path)
    assert copy.read_bytes() == FILE
    assert copy.name == "cat-1.mp4"
    unfinished = partial.iterdir()
    assert not [path for path in unfinished if path.suffix != ".tmp"]  # a kill during a write leaves a .tmp for a week
    assert len({one.event_id for one in world.received if one.topic == "task_archived"}) == 1
    [told] = next(one.data for one in world.received if one.topic == "task_archived")["archive"]
    assert told["sha256"] == hashlib.sha256(FILE).hexdigest()
    assert tmp_path / "archive" / told["path"] == copy


@pytest.mark.timeout(180)
def test_kill_9_loses_no_file_that_was_inside_an_answer(tmp_path: Path, world: World) -> None:
    images = [b"\x89PNG\r\n\x1a\n" + random.Random(seed).randbytes(250_000) for seed in range(2)]
    ids = [f"t-{number}" for number in range(6)]
    body = kling("", "succeed")
    body["data"]["task_result"] = {"images": [{"b64": base64.b64encode(image).decode()} for image in images]}
    released: set[str] = set()

    def answer(task_id: str) -> Answer:
        shown = (
            {**body, "data": {**body["data"], "task_id": task_id}}
            if task_id in released
            else kling(task_id, "processing")
        )
        return 200, json.dumps(shown).encode(), {}

    world.fault = answer
    archive = {"to": "archive/", "notify_after_copies": True}
    settings = world.settings(tmp_path, archive=archive, routes=ROUTES)
    genbridge(tmp_path, "add", *ids, "--config", str(settings))
    for number in range(3):
        polls = len(world.requests)
        with DaemonProcess(settings) as daemon:
            until(lambda: len(world.requests) > polls, seconds=30, what="a poll")  # noqa: B023 - used here
            released.update(ids[number * 2 : number * 2 + 2])
            time.sleep(random.Random(number).uniform(0.2, 1.2))
            daemon.kill()
        assert all(path.read_bytes() in images for path in copies(tmp_path))
    with DaemonProcess(settings):
        until(lambda: archived(world) == set(ids), seconds=60, what="task_archived of each")

    assert sorted(path.name for path in copies(tmp_path)) == sorted(f"{one}-{n}.png" for one in ids for n in (1, 2))
    unfinished = (tmp_path / "archive" / ".partial").iterdir()
    assert not [path for path in unfinished if path.suffix != ".tmp"]  # a kill during a write leaves a .tmp for a week
    assert len({one.event_id for one in world.received}) == 2 * len(ids)
    for one in world.received:
        assert [copy["sha256"] for copy in one.data["archive"]] == [sha256(image) for image in images]
        assert [item["sha256"] for item in one.data["task_result"]["images"]] == [sha256(image) for image in images]
    stored = sum(path.stat().st_size for path in tmp_path.glob("state.db*"))
    assert stored < len(ids) * 250_000  # half of the size of the images, because the answer does not contain them


def test_a_copy_continues_after_a_restart_of_the_daemon(tmp_path: Path, world: World) -> None:
    with results(0.2) as (url, starts):
        world.fault = succeeds_with(url)
        settings = world.settings(tmp_path, archive={"to": "archive/"}, routes=ROUTES)
        genbridge(tmp_path, "add", "t-1", "--config", str(settings))
        with DaemonProcess(settings) as daemon:
            until(lambda: bool(starts), seconds=30, what="a request")
            time.sleep(1.0)
            assert daemon.stop() == 0
        assert not copies(tmp_path)
        with DaemonProcess(settings):
            until(lambda: is_told(world), seconds=60, what="task_archived")

    assert starts[0] == 0 < starts[1]
    assert copies(tmp_path)[0].read_bytes() == FILE


def test_copies_are_listed_explained_and_left_out_by_redeliver_dead(tmp_path: Path, world: World) -> None:
    with results() as (url, _):
        world.fault = succeeds_with(f"{url}/gone")
        settings = world.settings(tmp_path, archive={"to": "archive/"})
        genbridge(tmp_path, "add", "t-1", "--config", str(settings))
        assert completed("once", "--config", settings).returncode == 1

    listed = json.loads(genbridge(tmp_path, "deliveries", "--json"))
    assert {one["endpoint"]: one["state"] for one in listed} == {"hook": "accepted", "@archive": "dead"}
    assert "videos 1: HTTP 410" in genbridge(tmp_path, "explain", "t-1")
    assert "0 deliveries" in genbridge(tmp_path, "redeliver", "--dead")
    assert "1 delivery" in genbridge(tmp_path, "redeliver", "--dead", "--endpoint", "@archive")


@pytest.mark.parametrize(("patience", "is_patient"), [("10m", True), ("1s", False)])
def test_notifications_wait_for_copies_as_long_as_patience_lasts(
    tmp_path: Path, world: World, patience: str, is_patient: bool
) -> None:
    with results(0.03 if is_patient else 0.1) as (url, _):
        world.fault = succeeds_with(url)
        archive = {"to": "archive/", "notify_after_copies": True, "patience": patience}
        settings = world.settings(tmp_path, archive=archive, routes=ROUTES)
        genbridge(tmp_path, "add", "t-1", "--config", str(settings))
        with DaemonProcess(settings):
            until(lambda: is_told(world), seconds=60, what="task_archived")

    assert [one.topic for one in world.received] == ["task_succeeded", "task_archived"]
    first, second = (one.data["archive"] for one in world.received)
    assert [copy["sha256"] for copy in second] == [hashlib.sha256(FILE).hexdigest()]
    assert first == (second if is_patient else [])


@contextmanager
def telegram() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a Bot API, and the methods and bodies that it got."""
    sent: list[tuple[str, bytes]] = []

    class Api(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            sent.append((self.path.rpartition("/")[2], self.rfile.read(int(self.headers["Content-Length"]))))
            answer = b'{"ok": true, "result": {}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with serving(Api) as url:
        yield f"{url}/bot1:A", sent


def test_a_robot_attaches_the_copy_and_the_result_is_downloaded_once(tmp_path: Path, world: World) -> None:
    with results(0.0) as (url, starts), telegram() as (api, sent):
        world.fault = succeeds_with(url)
        robot = {"type": "webhook", "format": "telegram", "url": api, "chat_id": "1", "attach": "file"}
        settings = world.settings(
            tmp_path,
            archive={"to": "archive/", "notify_after_copies": True},
            endpoints={"team": {**robot, "attach_max": "50MB"}},
        )
        genbridge(tmp_path, "add", "t-1", "--label", "cat", "--config", str(settings))
        with DaemonProcess(settings):
            until(lambda: "1 file attached" in genbridge(tmp_path, "explain", "t-1"), seconds=60, what="the message")

    [(method, body)] = sent
    assert method == "sendVideo"
    assert FILE in body
    assert starts == [0]


def test_a_private_host_that_is_allowed_is_fetched_from(tmp_path: Path, world: World) -> None:
    with results(0.0) as (url, starts):
        elsewhere = url.replace("127.0.0.1", "127.0.0.2")  # this is not the account's own host
        world.fault = succeeds_with(elsewhere)
        settings = world.settings(tmp_path, archive={"to": "archive/"}, routes=ROUTES)
        genbridge(tmp_path, "add", "refused", "--config", str(settings))
        assert completed("once", "--config", settings).returncode == 0
        assert "points into a private network" in genbridge(tmp_path, "explain", "refused")
        assert not starts

        world.settings(tmp_path, archive={"to": "archive/", "allow": ["127.0.0.0/30"]}, routes=ROUTES)
        genbridge(tmp_path, "add", "allowed", "--config", str(settings))
        assert completed("once", "--config", settings).returncode == 0

    assert [path.name for path in copies(tmp_path)] == ["allowed-1.mp4"]


def test_a_bucket_that_never_answers_does_not_delay_the_exit(tmp_path: Path, world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.fault = succeeds_with("https://cdn.example.com")
        settings = world.settings(tmp_path, archive={"to": f"s3://{BUCKET}/x", "quota": "1GB"}, routes=ROUTES)
        genbridge(tmp_path, "add", "t-1", "--config", str(settings))
        env = environment(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with DaemonProcess(settings, env=env, from_scratch=True) as daemon:
            until(lambda: bool(world.received), seconds=30, what="task_succeeded")
            silent.settimeout(30)
            asked = [silent.accept()[0] for _ in ("copy", "quota")]
            assert daemon.stop() == 0
            for connection in asked:
                connection.close()
