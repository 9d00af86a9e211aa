"""Which events `notify_after_copies` holds in a real daemon."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.archive.file_server import serving
from tests.http.site import Site, running_site
from tests.http.test_streams import following
from tests.world import Answer, kling, until

pytestmark = pytest.mark.long

WAIT = {"account": "kling", "id": "film", "wait": "30"}
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(5000)


@contextmanager
def gated_server() -> Iterator[tuple[str, threading.Event]]:
    """A server of one film that it sends only after the event is set."""
    gate = threading.Event()

    class Film(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            gate.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", str(len(MP4)))
            self.end_headers()
            self.wfile.write(MP4)

    with serving(Film) as url:
        try:
            yield url, gate
        finally:
            gate.set()


@contextmanager
def site(folder: Path, url: str, **archive: str) -> Iterator[Site]:
    routes = [{"endpoints": ["hook", "chat"]}, {"topics": ["task_archived"], "endpoints": ["hook"]}]
    settings = {"to": "archive", "notify_after_copies": True, **archive}
    with running_site(folder, archive=settings, routes=routes, webhooks=["hook", "chat"]) as running:

        def answer(task_id: str) -> Answer:
            status = "failed" if task_id == "bad" else "succeed"
            urls = None if task_id == "bad" else [f"{url}/{task_id}.mp4"]
            return 200, json.dumps(kling(task_id, status, urls=urls)).encode(), {}

        running.world.fault = answer
        yield running


def test_the_stream_sends_a_finish_at_once_and_webhooks_with_copies(tmp_path: Path) -> None:
    with (
        gated_server() as (url, gate),
        site(tmp_path, url, patience="10m") as running,
        following(running.url, "events") as stream,
    ):
        running.add("film")
        [first] = stream.until(lambda found: bool(found))
        assert (first.name, first.data["data"]["archive"]) == ("task_succeeded", [])
        waited = running.reader.get("/api/v1/task", params=WAIT, timeout=60).json()
        assert waited["phase"] == "succeeded"

        running.add("bad")  # it has no copies to wait for
        until(lambda: len(running.world.by_task().get("bad", ())) == 2, seconds=20, what="the failure, at both")
        assert "film" not in running.world.by_task()

        gate.set()
        until(lambda: len(running.world.by_task().get("film", ())) == 3, seconds=20, what="the finish and the copies")
        *ends, archived = running.world.by_task()["film"]
        assert [one.topic for one in (*ends, archived)] == ["task_succeeded", "task_succeeded", "task_archived"]
        assert {len(one.data["archive"]) for one in (*ends, archived)} == {1}
        assert {one.event_id for one in ends} == {first.data["data"]["event_id"]}
        stream.until(lambda found: "task_archived" in [one.name for one in found])
        assert stream.received[-1].data["data"] == archived.data

    with (
        gated_server() as (url, _),
        running_site(tmp_path) as again,
        following(again.url, "events", last_id="0") as stream,
    ):
        found = stream.until(lambda found: len(found) >= 3)
        assert found[0].data == first.data  # also for followers who read it later


def test_events_that_wait_for_copies_are_sent_when_the_archive_is_removed(tmp_path: Path) -> None:
    with gated_server() as (url, _), site(tmp_path, url, patience="10m") as running:
        running.add("film")
        waited = running.reader.get("/api/v1/task", params=WAIT, timeout=60).json()
        assert waited["phase"] == "succeeded"
        assert "film" not in running.world.by_task()

        path = tmp_path / "genbridge.yaml"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"archive": None}))
        until(lambda: len(running.world.by_task().get("film", ())) == 2, seconds=20, what="the finish, at both")
    told = [(one.topic, len(one.data["archive"])) for one in running.world.by_task()["film"]]
    assert told == [("task_succeeded", 0), ("task_succeeded", 0)]


def test_after_patience_webhooks_get_the_finish_without_copies_and_these_follow(tmp_path: Path) -> None:
    with gated_server() as (url, gate), site(tmp_path, url, patience="1s") as running:
        running.add("film")
        until(lambda: len(running.world.by_task().get("film", ())) == 2, seconds=20, what="the finish, at both")
        gate.set()
        until(lambda: len(running.world.by_task()["film"]) == 3, seconds=20, what="the copies")

    told = [(one.topic, len(one.data["archive"])) for one in running.world.by_task()["film"]]
    assert told == [("task_succeeded", 0), ("task_succeeded", 0), ("task_archived", 1)]
