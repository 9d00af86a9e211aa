"""Any bytes, JSON value and status give a Reading, and only valid answers finish a task."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.ids import clean_task_id
from bridge.domain.task import Json, Reading, ReadingKind
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.new_tasks import created_by_any
from bridge.providers.reading import read_together
from bridge.providers.results import PollContext
from tests.providers.reading_of import TASK_ID, answered, reading_of

pytestmark = pytest.mark.usefixtures("unmeasured")

DATA: Final = Path(__file__).parent.parent / "data"
RECORDED: Final = [
    each
    for each in json.loads((DATA / "manifest.json").read_text())["fixtures"]
    if each["outcome"] not in {"outgoing", "vector", "challenge"}
]
ENDS = {ReadingKind.SUCCEEDED, ReadingKind.FAILED, ReadingKind.CANCELED}
KEYS = [
    *("code", "message", "data", "error", "detail", "task_id", "task_status", "task_status_msg", "task_info"),
    *("task_result", "created_at", "updated_at", "status", "progress", "fail_reason", "result_url", "url", "url_mp3"),
    *("url_wav", "videos", "images", "audios", "external_task_id", "submit_time", "finish_time"),
    *("id", "name", "state", "output", "outputs", "type", "logs", "error", "done", "response", "assets", "video"),
    *("imageUrl", "videoUrls", "failReason", "properties", "finalPrompt", "action", "metadata", "audio_url", "text"),
    *("base_resp", "status_code", "file_id", "file", "download_url", "task", "content", "video_url", "creations"),
    *("result", "sample", "details", "Moderation Reasons", "work_video_path", "web_work_status", "image_urls"),
    *("binary_data_base64", "generateVideoResponse", "generatedSamples", "uri", "raiMediaFilteredCount"),
    *("data_removed", "expires_at", "created_at", "createdAt", "polling_url", "urls", "get", "description"),
]
WORDS = [
    *("succeed", "SUCCESS", "failed", "FAILURE", "processing", "queued", "canceled", "success", "task_not_exist"),
    *(TASK_ID, "30%", "https://cdn.example.com/a.mp4", "javascript:1", "https://[", "http://[::1", ""),
    *("Ready", "Request Moderated", "completed", "MODAL", "done", "expired", "2026-01-01T10:00:00Z", "~30s", " 4%|"),
    *("data:image/png;base64,AA", "9999-99-99T00:00:00Z", "0001-01-01T00:00:00+23:59"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(
        [0, 200, 1000, 1102, 1203, 1302, 5000, 10000, 50411, 50500, 1_762_000_000, 1_762_000_000_000, 1e308]
    )
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=12,
)
tasks = st.builds(
    lambda ids, words, rest: {**rest, **ids, **words},
    st.fixed_dictionaries({key: st.just(TASK_ID) | scalars for key in ("task_id", "id", "name")}),
    st.fixed_dictionaries({key: st.sampled_from(WORDS) for key in ("task_status", "status", "state")}),
    st.dictionaries(st.sampled_from(KEYS), values, max_size=8),
)
wrapped = st.builds(lambda code, data: {"code": code, "data": data}, scalars, tasks | st.lists(tasks))
answers = values | tasks | wrapped | st.lists(tasks, max_size=3) | st.builds(lambda task: {"task": task}, tasks)
providers = st.sampled_from(list(BUILT_IN))
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 402, 404, 410, 429, 500, 503]) | st.integers(100, 999)


def assert_sound(reading: Reading) -> None:
    assert type(reading) is Reading
    assert reading.detail.isprintable()
    assert len(reading.detail) <= 500
    if (seen := reading.snapshot) is not None:
        orjson.dumps({kind: list(items) for kind, items in seen.result.items()})
        assert len(set(seen.urls)) == len(seen.urls)
        assert len(seen.message) <= 2000


def _places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _places(each, (*path, key))


def _spoiled(value: Json, path: tuple[Any, ...], other: Json) -> Json:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _spoiled(copy[path[0]], path[1:], other)
    return copy


@given(data=st.data(), fixture=st.sampled_from(RECORDED), status=st.just(200) | statuses)
@settings(max_examples=400)
def test_a_damaged_recorded_answer_still_gives_a_reading(
    data: st.DataObject, fixture: Mapping[str, Any], status: int
) -> None:
    body = json.loads((DATA / fixture["file"]).read_bytes())
    task_id = re.search(r'"(?:task_id|id|name)": *"([^"]+)"', json.dumps(body))
    for _ in range(data.draw(st.integers(1, 3))):
        body = _spoiled(body, data.draw(st.sampled_from(list(_places(body)))), data.draw(values))
    provider = fixture["file"].partition("/")[0]

    for name in {provider, data.draw(providers)}:
        assert_sound(
            reading_of(orjson.dumps(body), provider=name, status=status, task_id=task_id[1] if task_id else "1")
        )


def _is_refused_for_content(provider: str, status: int, reading: Reading) -> bool:
    """Whether Jimeng refused the content of a task. It does so with HTTP 400 and a code for this."""
    documented = r"code (50411|50412|50413|50511|50512)\b"
    return provider == "jimeng" and status == 400 and re.match(documented, reading.detail) is not None


@given(provider=providers, body=answers, status=statuses)
@settings(max_examples=150)
def test_any_json_gives_a_reading_and_only_valid_answers_finish_tasks(provider: str, body: Json, status: int) -> None:
    reading = reading_of(orjson.dumps(body), provider=provider, status=status)

    assert_sound(reading)
    if reading.kind in ENDS:
        assert 200 <= status < 300 or _is_refused_for_content(provider, status, reading)
        assert reading.snapshot is not None
        assert reading.snapshot.status.strip()


@given(provider=providers, body=answers, second=answers | st.binary(max_size=50))
@settings(max_examples=100, deadline=None)
def test_any_second_answer_gives_a_reading(provider: str, body: Json, second: Json) -> None:
    first = {"task_id": TASK_ID, "status": "Success", "file_id": "7", **(body if isinstance(body, dict) else {})}

    assert_sound(reading_of(orjson.dumps(first), provider=provider, second=second))


@given(provider=providers, body=answers, status=statuses)
@settings(max_examples=100, deadline=None)
def test_any_json_gives_each_task_a_reading_or_one_for_all(provider: str, body: Json, status: int) -> None:
    asked = [
        PollContext(task_id=task_id, action=None, base_url="https://api.example.com") for task_id in (TASK_ID, "other")
    ]
    found = read_together(BUILT_IN[provider], answered(orjson.dumps(body), status=status), asked)

    for reading in [found] if isinstance(found, Reading) else found.values():
        assert_sound(reading)
    assert isinstance(found, Reading) or set(found) == {TASK_ID, "other"}


@given(body=answers)
@settings(max_examples=100, deadline=None)
def test_any_json_may_be_looked_at_as_a_create_answer(body: Json) -> None:
    for task_id, _ in created_by_any(BUILT_IN, body).values():
        assert clean_task_id(task_id) == task_id


@given(
    provider=providers,
    body=st.binary(max_size=300),
    status=statuses,
    headers=st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), st.text()),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_reading_that_does_not_finish_the_task(
    provider: str, body: bytes, status: int, headers: dict[str, str]
) -> None:
    reading = reading_of(body, provider=provider, status=status, headers=headers)

    assert_sound(reading)
    assert reading.kind not in ENDS
