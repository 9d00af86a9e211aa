"""Several daemons that copy into one folder or bucket copy each file once, even when one is killed."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bridge.archive.bucket import Bucket
from bridge.archive.folder import Folder
from bridge.archive.place import Place
from tests.archive.buckets import BUCKET, environment, s3_server
from tests.archive.file_server import file_server
from tests.crash.crew import Crew
from tests.world import Answer, World, kling, until

pytestmark = [pytest.mark.crash, pytest.mark.long, pytest.mark.together, pytest.mark.timeout(240)]

TASKS = 24
FILE = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 12_000

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 200


def archived(world: World) -> set[str]:
    return {one.data["task_id"] for one in list(world.received) if one.topic == "task_archived"}


@contextmanager
def bucket(tmp_path: Path) -> Iterator[tuple[str, Place]]:
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(server).items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}/shared", Bucket(f"s3://{BUCKET}/shared", tmp_path)


@contextmanager
def folder(tmp_path: Path) -> Iterator[tuple[str, Place]]:
    yield str(tmp_path / "shared"), Folder(tmp_path / "shared")


@pytest.mark.parametrize("shared", [folder, bucket])
def test_daemons_that_share_a_place_write_each_file_once(
    world: World, crew: Crew, tmp_path: Path, shared: Callable[[Path], AbstractContextManager[tuple[str, Place]]]
) -> None:
    ids = [f"task-{number}" for number in range(TASKS)]
    with shared(tmp_path) as (to, place), file_server({f"/{one}.mp4": FILE for one in ids}, pause_s=0.5) as url:

        def answer(task_id: str) -> Answer:
            return 200, json.dumps(kling(task_id, "succeed", urls=[f"{url}/{task_id}.mp4"])).encode(), {}

        world.fault = answer
        routes = [{"topics": ["task_archived"], "endpoints": ["hook"]}]
        crew.start("a", "b", archive={"to": to}, routes=routes)
        until(lambda: crew.is_ready("a") and crew.is_ready("b"), seconds=20, what="both are ready")
        crew.drop("a", [{"id": one, "account": "kling", "label": "cat"} for one in ids])
        until(lambda: len(archived(world)) >= 3, seconds=30, what="the first copies")
        crew.daemons["a"].kill()
        crew.start("a", archive={"to": to}, routes=routes)
        until(lambda: archived(world) >= set(ids), seconds=60, what="every copy")
        assert crew.stop() == [0, 0]
        found = {one.path: place.read(one.path) or b"" for one in place.entries()}

    owners = Counter(json.loads(text)["data"]["task_id"] for path, text in found.items() if path.endswith(".json"))
    assert owners == dict.fromkeys(ids, 1)
    copies = [content for path, content in found.items() if path.endswith(".mp4")]
    assert len(copies) == TASKS
    assert all(content == FILE for content in copies)
    events = {(one.data["task_id"], one.event_id) for one in world.received}
    assert len(events) == TASKS


def test_a_daemon_without_the_file_of_an_answer_requests_it_again(world: World, crew: Crew, tmp_path: Path) -> None:
    ids = [f"task-{number}" for number in range(TASKS)]
    body = kling("", "succeed")
    body["data"]["task_result"] = {"images": [{"b64": base64.b64encode(PNG).decode()}]}

    def answer(task_id: str) -> Answer:
        return 200, json.dumps({**body, "data": {**body["data"], "task_id": task_id}}).encode(), {}

    world.fault = answer
    routes = [{"topics": ["task_archived"], "endpoints": ["hook"]}]
    crew.start("a", archive={"to": str(tmp_path / "of-a")}, routes=routes)
    crew.start("b", archive={"to": str(tmp_path / "of-b")}, routes=routes)
    until(lambda: crew.is_ready("a") and crew.is_ready("b"), seconds=20, what="both are ready")
    crew.drop("a", [{"id": one, "account": "kling"} for one in ids])
    until(lambda: archived(world) >= set(ids), seconds=60, what="every copy")
    assert crew.stop() == [0, 0]

    copies = [path for path in tmp_path.glob("of-*/2*/**/*.png") if path.is_file()]
    assert len(copies) == TASKS
    assert all(path.read_bytes() == PNG for path in copies)
    polls = Counter(task_id for one in world.requests for task_id in one.ids)
    assert set(polls.values()) <= {1, 2}
