"""A vendor's answer inside an aggregator's wrapper is read like the bare answer."""

from __future__ import annotations

from typing import Any, Final

import pytest

from bridge.domain.task import Json, Reading, ReadingKind
from bridge.providers.catalogue import BUILT_IN
from tests.providers.reading_of import reading_of
from tests.providers.recorded import FIXTURES, action_of, id_of, provider_of, said

pytestmark = pytest.mark.usefixtures("unmeasured")

OWN_ID: Final = "task_Zq81"  # an id of an aggregator; the vendor's id is inside
OUTER: Final = {"pending": "SUBMITTED", "running": "IN_PROGRESS", "succeeded": "SUCCESS", "failed": "FAILURE"}
OTHERS: Final = {"kling/list.json", "midjourney/list.json", "minimax/file_retrieve.json"}
AGGREGATORS: Final = {"suno", "newapi", "midjourney", "unified_v2", "avatar"}  # forms of aggregators
ABOUT_TASKS: Final = [
    each for each in FIXTURES if each["outcome"] in OUTER and each["http_status"] == 200 and each["file"] not in OTHERS
]
AGGREGATED: Final = {  # vendors whose answers aggregators pass on
    *("ark", "dashscope", "flux", "jimeng", "kling", "kling_v2", "luma", "minimax", "minimax_v2", "openai_video"),
    *("replicate", "runway", "siliconflow", "suno_feed", "veo", "video_query", "vidu", "xai", "zhipu"),
}
OF_VENDORS: Final = [each for each in ABOUT_TASKS if provider_of(each) in AGGREGATED]


def test_every_description_that_extends_newapi_is_read_inside_its_task() -> None:
    extending = {name for name, each in BUILT_IN.items() if "newapi" in each.forms}
    assert extending | {"avatar", "midjourney"} == AGGREGATORS | AGGREGATED


def _asked(fixture: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "provider": provider_of(fixture),
        "task_id": id_of(fixture),
        "action": action_of(fixture),
        **others,
    }


def _told(reading: Reading) -> object:
    seen = reading.snapshot
    return reading.kind, seen and (seen.result, seen.urls, seen.kept)


@pytest.mark.parametrize(
    "fixture",
    [each for each in ABOUT_TASKS if provider_of(each) in AGGREGATORS | AGGREGATED],
    ids=lambda each: each["file"],
)
@pytest.mark.parametrize("code", ["success", 0])
def test_an_answer_inside_a_plain_wrapper_is_read_the_same(fixture: dict[str, Any], code: Json) -> None:
    wrapped = {"code": code, "message": "", "data": said(fixture)}

    assert _told(reading_of(wrapped, **_asked(fixture))) == _told(reading_of(said(fixture), **_asked(fixture)))


@pytest.mark.parametrize("fixture", OF_VENDORS, ids=lambda each: each["file"])
def test_an_answer_inside_new_apis_task_is_read_the_same(fixture: dict[str, Any]) -> None:
    task = {
        "id": 4711,
        "task_id": OWN_ID,
        "platform": "50",
        "action": "generate",
        "status": OUTER[fixture["outcome"]],
        "fail_reason": "",
        "submit_time": 1767261600,
        "progress": "50%",
        "data": said(fixture),
    }
    wrapped = {"code": "success", "message": "", "data": task}
    inside = reading_of(wrapped, **_asked(fixture, task_id=OWN_ID))
    bare = reading_of(said(fixture), **_asked(fixture))

    if inside.kind is ReadingKind.SUCCEEDED:
        assert bare.snapshot is not None
        assert inside.snapshot is not None
        own = {url.replace(id_of(fixture), OWN_ID) for url in bare.snapshot.urls}  # with the aggregator's id
        assert set(inside.snapshot.urls) <= own | set(bare.snapshot.urls)
        assert inside.snapshot.refused == bare.snapshot.refused
    assert inside.kind is bare.kind


@pytest.mark.parametrize(
    "provider", ["runway", "replicate", "flux", "openai_video", "veo", "kling_v2", "luma", "minimax"]
)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("NOT_START", ReadingKind.PENDING),
        ("IN_PROGRESS", ReadingKind.RUNNING),
        ("FAILURE", ReadingKind.FAILED),
        ("UNKNOWN", ReadingKind.AMBIGUOUS),
    ],
)
@pytest.mark.parametrize("inner", [None, {}, "", [], {"error": {"message": "busy"}}])
def test_the_aggregators_status_counts_while_the_vendor_has_not_answered(
    provider: str, status: str, kind: ReadingKind, inner: Json
) -> None:
    task = {"task_id": OWN_ID, "status": status, "fail_reason": "refused", "data": inner}
    reading = reading_of({"code": "success", "data": task}, provider=provider, task_id=OWN_ID, action=None)

    assert reading.kind is kind
    assert reading.snapshot is not None
    assert kind is not ReadingKind.FAILED or reading.snapshot.message == "refused"


SUCCEEDED: Final = {"id": "another", "status": "SUCCEEDED", "output": ["https://cdn.example.com/a.mp4"]}


@pytest.mark.parametrize(
    "data",
    [
        {"task_id": "another", "status": "SUCCESS", "data": SUCCEEDED},
        {"task_id": "another", "status": "SUCCESS", "data": {**SUCCEEDED, "id": None}},
        {"task_id": OWN_ID, "status": "IN_PROGRESS", "data": SUCCEEDED},
        {"task_id": OWN_ID, "status": "UNKNOWN", "data": SUCCEEDED},
        {"task_id": OWN_ID, "status": "SUCCESS", "data": {**SUCCEEDED, "status": "RUNNING"}},
        {"task_id": OWN_ID, "status": "SUCCESS", "data": [SUCCEEDED, SUCCEEDED]},
        SUCCEEDED,
        {"data": {"data": {**SUCCEEDED, "id": OWN_ID}}},
        {"id": OWN_ID, "status": "WEIRD", "data": {**SUCCEEDED, "id": OWN_ID}},
    ],
)
def test_an_inner_final_status_does_not_finish_an_aggregators_running_task(data: Json) -> None:
    reading = reading_of({"code": "success", "data": data}, provider="runway", task_id=OWN_ID, action=None)

    assert reading.kind in {ReadingKind.RUNNING, ReadingKind.AMBIGUOUS}


def test_a_refusal_inside_an_envelope_is_no_answer_about_the_task() -> None:
    inner = {"code": 1102, "message": "used up", "data": {"task_id": OWN_ID, "task_status": "failed"}}
    reading = reading_of({"code": 0, "data": inner}, task_id=OWN_ID)

    assert reading.kind is ReadingKind.AMBIGUOUS
