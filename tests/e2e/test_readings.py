"""Notifications about unusual answers, from the real daemon between a real provider and a real receiver."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.daemon_process import DaemonProcess
from tests.e2e.test_daemon import genbridge
from tests.sinks.reading import text_of
from tests.world import KEY, World, kling, running_world, until

pytestmark = pytest.mark.long

VIDEO: Final = "https://cdn.example.com/v.mp4"
PNG: Final = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(300_000)).decode()
POLLING: Final = {"min_interval": "0.2s", "max_interval": "1s", "not_found": {"answers": 2, "over": "1s"}}


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def _odd(status: str, **fields: Any) -> dict[str, Any]:
    return {"code": "success", "message": "", "data": {"status": status, **fields}}


ANSWERS: Final[Mapping[str, tuple[int, Any]]] = {
    "gateway": (200, _odd("Succeeded", task_id="gateway", video_url=VIDEO)),
    "embedded": (200, kling("embedded", "succeed") | {"x": 1}),
    "filtered": (200, kling("filtered", "succeed", message="content risk")),
    "coded": (200, _odd("FAILURE", task_id="coded", error={"code": "moderation_blocked", "message": ""})),
    "odd": (200, _odd("moderating", task_id="odd")),
    "early": (409, {"error": {"message": "task is not completed yet"}}),
    "wrong": (404, {"error": {"message": "Invalid URL (GET /kling/v1/images/nothing/wrong)"}}),
    "large": (200, "x" * 1_200_000),
    "removed": (200, {"id": "removed", "status": "succeeded", "output": None, "data_removed": True}),
}


def _answer(task_id: str) -> tuple[int, bytes, Mapping[str, str]]:
    status, body = ANSWERS[task_id]
    if task_id == "embedded":
        body["data"]["task_result"] = {"images": [{"index": 0, "b64_json": PNG}]}
    return status, json.dumps(body).encode(), {}


def test_people_get_the_providers_message_in_every_unusual_case(tmp_path: Path, world: World) -> None:
    world.fault = _answer
    settings = world.settings(tmp_path)
    tree = json.loads(settings.read_text())
    base = tree["accounts"]["kling"]["base_url"]
    tree["accounts"]["predictions"] = {"provider": "replicate", "base_url": base, "api_key": KEY}
    tree["polling"] = POLLING
    tree["routes"] = [{"endpoints": ["hook"]}, {"topics": ["unknown_status"], "endpoints": ["hook"]}]
    settings.write_text(json.dumps(tree))
    genbridge(tmp_path, "add", "--account", "kling", *(task for task in ANSWERS if task not in {"removed", "wrong"}))
    genbridge(tmp_path, "add", "--account", "kling", "--action", "images/nothing", "wrong")
    genbridge(tmp_path, "add", "--account", "predictions", "removed")

    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.received) >= 9, seconds=30, what="six ends and three notices")
        daemon.stop()
    ends = {task_id: told[0] for task_id, told in world.by_task().items()}
    told = {task_id: (end.topic, end.data["urls"], end.data["result_missing"]) for task_id, end in ends.items()}
    assert told == {
        "gateway": ("task_succeeded", [VIDEO], False),
        "embedded": ("task_succeeded", [], False),
        "filtered": ("task_failed", [], False),
        "coded": ("task_failed", [], False),
        "wrong": ("task_failed", [], False),
        "removed": ("task_succeeded", [], True),
    }
    (image,) = ends["embedded"].data["task_result"]["images"]
    assert (image["embedded"], image["media_type"], image["bytes"]) == (True, "image/png", 300_008)
    assert len(ends["embedded"].body) < 2000
    assert ends["filtered"].data["reason"] == "content risk"
    assert (ends["coded"].data["error_code"], ends["coded"].data["archive"]) == ("moderation_blocked", [])
    assert ends["coded"].data["reason"] == "FAILURE (moderation_blocked)"
    assert (
        ends["wrong"].data["reason"].startswith(f"no such route at the provider: GET {base}/kling/v1/images/nothing/")
    )

    notices = [one.data["reason"] for one in world.received if one.topic == "unknown_status"]
    assert sorted(word for word in ("moderating", "too_large", "unknown_route") for one in notices if word in one) == [
        "moderating",
        "too_large",
        "unknown_route",
    ]
    with DaemonProcess(settings) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=10, what="the daemon")
        time.sleep(1.5)
        daemon.stop()
    assert len(world.received) == 9, "an unknown word is told once, also after a restart"
    status = json.loads(genbridge(tmp_path, "status", "--json").stdout)
    assert status["watches"] == {"succeeded": 3, "failed": 3, "submitted": 3}
    words = {view["word"]: view["answers"] for view in status["unread_answers"]}
    assert set(words) == {"moderating", "too_large", "unknown_route images/nothing"}
    assert 'unknown status "moderating"' in genbridge(tmp_path, "status").stdout
    assert 'unknown status "moderating"' in genbridge(tmp_path, "explain", "odd").stdout


def test_an_unknown_word_goes_to_robots_by_default_and_not_to_webhooks(tmp_path: Path, world: World) -> None:
    world.fault = _answer
    settings = world.settings(tmp_path)
    tree = json.loads(settings.read_text())
    url = tree["endpoints"]["hook"]["url"]
    tree["endpoints"]["robot"] = {"type": "webhook", "format": "slack", "url": url}
    settings.write_text(json.dumps(tree))
    genbridge(tmp_path, "add", "odd", "gateway")

    with DaemonProcess(settings) as daemon:
        until(lambda: len(world.received) >= 3, seconds=30, what="the end twice and the notice once")
        time.sleep(1)
        daemon.stop()
    bodies = [json.loads(one.body) for one in world.received]
    assert [body["topic"] for body in bodies if "topic" in body] == ["task_succeeded"]
    texts = [text_of("slack", body) for body in bodies if "topic" not in body]
    notices = [text for text in texts if "moderating" in text]
    assert len(bodies) == 3
    assert len(notices) == 1
    assert "sent an answer that genbridge cannot read" in notices[0]
