"""Every recorded answer of Kling and new-api is read as the manifest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.task import Reading
from tests.providers.reading_of import reading_of

DATA = Path(__file__).parent.parent / "data"
FIXTURES: list[dict[str, Any]] = json.loads((DATA / "manifest.json").read_text())["fixtures"]
PLURALS = {"video": "videos", "image": "images", "audio": "audios"}


def _read(fixture: dict[str, Any], *, task_id: str | None = None) -> Reading:
    """The reading of a recorded answer, asked for the id that stands in it."""
    body = (DATA / fixture["file"]).read_bytes()
    said = json.loads(body)
    own = said.get("data") or said
    own_id = own.get("task_id") if isinstance(own, dict) else None
    segments = fixture["request"].split("?")[0].removesuffix("/").split("/")
    start = next((at for at, name in enumerate(segments) if name in {"images", "audio"}), None)
    return reading_of(
        body,
        status=fixture["http_status"],
        task_id=task_id or own_id or segments[-1],
        action="videos/text2video" if start is None else "/".join(segments[start : start + 2]),
        own_host="api.example.test",
    )


@pytest.mark.parametrize(
    "fixture",
    [pytest.param(each, id=each["file"]) for each in FIXTURES if each["outcome"] != "batch"],
)
def test_each_recorded_answer_has_the_stated_outcome_results_message_and_progress(fixture: dict[str, Any]) -> None:
    reading = _read(fixture)

    assert reading.kind == fixture["outcome"]
    assert reading.server_trouble == (fixture["http_status"] >= 500)
    seen = reading.snapshot
    if "results" in fixture:
        assert seen is not None
        collected = [(kind, item["url"]) for kind, items in seen.result.items() for item in items]
        assert collected == [(PLURALS[each["kind"]], each["url"]) for each in fixture["results"]]
        assert list(seen.urls) == [each["url"] for each in fixture["results"]]
        assert not seen.refused
        assert not reading.detail
    if "message" in fixture:
        assert fixture["message"] in reading.detail
        assert seen is None or seen.message == fixture["message"]
    if "progress" in fixture:
        assert seen is not None
        assert seen.progress == fixture["progress"]


def test_of_a_recorded_list_each_task_is_read_by_its_id() -> None:
    (fixture,) = [each for each in FIXTURES if each["outcome"] == "batch"]

    outcomes = {number: _read(fixture, task_id=f"85700000000000000{number}").kind for number in (1, 2, 3, 4)}

    assert outcomes == {1: "running", 2: "succeeded", 3: "failed", 4: "ambiguous"}


def test_every_recorded_answer_stands_in_the_manifest_and_the_reverse() -> None:
    recorded = {f"{folder}/{path.name}" for folder in ("kling", "newapi") for path in (DATA / folder).iterdir()}

    assert recorded == {each["file"] for each in FIXTURES}
