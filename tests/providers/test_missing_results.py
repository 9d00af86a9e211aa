"""A success without all or some of its results, because they were withheld or lost."""

from __future__ import annotations

import pytest

from bridge.domain.task import Json, ReadingKind
from tests.providers.reading_of import OP, TASK_ID, kling, newapi, reading_of, veo

A = "https://cdn.example.com/a.mp4"


def _suno(*clips: Json) -> Json:
    return {"code": "success", "data": {"task_id": OP, "status": "SUCCESS", "data": list(clips)}}


_BAD_CLIP = {
    "id": "b",
    "status": "error",
    "audio_url": "",
    "image_large_url": "https://cdn.example.com/b.jpeg",
    "metadata": {"error_message": "sensitive word"},
}
FILTERED: list[tuple[str, Json, str]] = [
    ("veo", veo(raiMediaFilteredCount=1, raiMediaFilteredReasons=["r"]), "r"),
    ("veo", veo(raiMediaFilteredCount=2), "withheld by the safety filter"),
    ("veo", veo(raiMediaFilteredCount="2"), "withheld by the safety filter"),
    ("veo", veo(generateVideoResponse={"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["r", "s"]}), "r; s"),
    ("veo", veo(generateVideoResponse={"generatedSamples": [], "raiMediaFilteredReasons": ["r"]}), "r"),
    ("kling", {"code": 0, "data": {"task_id": OP, "task_status": "succeed", "task_status_msg": "risk"}}, "risk"),
    (
        "kling",
        {
            "code": 0,
            "data": {
                "task_id": OP,
                "task_status": "succeed",
                "task_result": {"images": [{"index": 0, "url": "", "error": "nsfw"}]},
            },
        },
        "nsfw",
    ),
    (
        "kling_v2",
        {"code": 0, "data": [{"id": OP, "status": "succeeded", "message": "policy", "outputs": []}]},
        "policy",
    ),
    ("replicate", {"id": OP, "status": "succeeded", "output": None, "logs": "NSFW content was found"}, "NSFW content"),
    ("replicate", {"id": OP, "status": "succeeded", "output": [], "error": "flagged as sensitive"}, "flagged"),
    ("midjourney", {"id": OP, "status": "SUCCESS", "failReason": "Banned prompt detected"}, "Banned prompt"),
    (
        "midjourney",
        {"id": OP, "status": "SUCCESS", "imageUrl": "", "properties": {"bannedWord": "x"}},
        "banned word: x",
    ),
    ("flux", {"id": OP, "status": "Ready", "result": {}, "details": {"Moderation Reasons": ["Gore"]}}, "Gore"),
    (
        "jimeng",
        {
            "code": 10000,
            "data": {
                "task_id": OP,
                "status": "done",
                "image_urls": [],
                "algorithm_base_resp": {"status_code": 1, "status_message": "Post Img Risk Not Pass"},
            },
        },
        "Post Img Risk",
    ),
    ("jimeng", {"code": 50518, "message": "Pre Img Risk Not Pass: Copyright", "data": None}, "Copyright"),
    ("openai_video", {"id": OP, "status": "failed", "error": {"code": "moderation_blocked", "message": "no"}}, "no"),
    ("ark", {"id": OP, "status": "succeeded", "content": {}, "error": {"code": "X", "message": "audio"}}, "audio"),
    (
        "minimax",
        {"task_id": OP, "status": "Success", "base_resp": {"status_code": 1027, "status_msg": "sensitive"}},
        "sensitive",
    ),
    ("minimax_v2", {"task": {"id": OP, "status": "succeeded", "error": {"code": 5, "message": "no"}}}, "no"),
    ("vidu", {"id": OP, "state": "success", "creations": [], "err_code": "AuditSubmitIllegal"}, "AuditSubmitIllegal"),
    ("runway", {"id": OP, "status": "SUCCEEDED", "output": [], "failure": "moderated"}, "moderated"),
    ("luma", {"id": OP, "state": "completed", "assets": {}, "failure_reason": "moderated"}, "moderated"),
    ("xai", {"status": "done", "video": None, "error": "the prompt is not acceptable"}, "not acceptable"),
    ("suno", _suno(_BAD_CLIP), "sensitive word"),
    ("suno", {"code": "success", "data": {"task_id": OP, "status": "SUCCESS", "fail_reason": "banned"}}, "banned"),
    (
        "newapi",
        {"code": "success", "data": {"task_id": OP, "status": "SUCCESS", "fail_reason": "not allowed"}},
        "not allow",
    ),
    ("newapi", {"task_id": OP, "status": "succeeded", "url": "", "error": {"code": 3, "message": "no"}}, "no"),
    ("unified_v2", {"task_id": OP, "status": "SUCCESS", "data": {"outputs": []}, "fail_reason": "unsafe"}, "unsafe"),
    ("video_query", {"id": OP, "status": "completed", "detail": {"error_message": "unsafe"}}, "unsafe"),
]


@pytest.mark.parametrize(("provider", "body", "reason"), FILTERED)
def test_a_success_whose_results_were_all_withheld_has_failed_for_that_reason(
    provider: str, body: Json, reason: str
) -> None:
    reading = reading_of(body, provider=provider, task_id=OP, action=None)

    assert reading.kind is ReadingKind.FAILED, reading
    assert reason in reading.detail


PARTLY: list[tuple[str, Json, str]] = [
    (
        "veo",
        veo(
            generateVideoResponse={
                "generatedSamples": [{"video": {"uri": A}}],
                "raiMediaFilteredCount": 1,
                "raiMediaFilteredReasons": ["celebrity"],
            }
        ),
        "celebrity",
    ),
    ("veo", veo(videos=[{"uri": A}], raiMediaFilteredCount=1, raiMediaFilteredReasons=["child"]), "child"),
    ("suno", _suno({"id": "a", "status": "complete", "audio_url": A}, _BAD_CLIP), "sensitive word"),
    (
        "newapi",
        {"task_id": OP, "status": "succeeded", "data": {"task_result": {"images": [{"url": A}, {"error": "nsfw"}]}}},
        "nsfw",
    ),
    ("replicate", {"id": OP, "status": "succeeded", "output": [A], "logs": "NSFW content was found"}, "NSFW"),
]


@pytest.mark.parametrize(("provider", "body", "reason"), PARTLY)
def test_a_partly_filtered_success_has_results_and_a_reason(provider: str, body: Json, reason: str) -> None:
    reading = reading_of(body, provider=provider, task_id=OP, action=None)

    assert reading.kind is ReadingKind.SUCCEEDED, reading
    assert reading.snapshot is not None
    assert reading.snapshot.urls == (A,)
    assert reason in reading.detail


@pytest.mark.parametrize(
    ("provider", "body", "reason"),
    [
        ("newapi", {"task_id": OP, "status": "succeeded", "images": [{"error": {"message": "nsfw"}}]}, "nsfw"),
        ("openai_video", {"id": OP, "status": "completed", "error": {"code": "x", "message": "unsafe"}}, "unsafe (x)"),
        ("kling", kling(task_status_msg="the request did not complete") | {"id": OP}, "the request did not complete"),
    ],
)
def test_an_aggregators_success_with_only_an_error_is_a_failure(provider: str, body: Json, reason: str) -> None:
    reading = reading_of(body, provider=provider, task_id=TASK_ID if provider == "kling" else OP, action=None)

    assert (reading.kind, reading.detail) == (ReadingKind.FAILED, reason)


def test_an_aggregators_list_with_a_lost_item_says_why() -> None:
    body = {"task_id": OP, "status": "succeeded", "images": [{"url": A}, {"error": "nsfw"}]}
    reading = reading_of(body, provider="newapi", task_id=OP)

    assert (reading.kind, reading.detail) == (ReadingKind.SUCCEEDED, "some results are missing: nsfw")


@pytest.mark.parametrize(
    "text", ["", "-", "SUCCEED", "ok", "200", "Task completed.", "任务成功", "generated in 3 s", A]
)
def test_a_success_text_is_not_the_reason_for_missing_results(text: str) -> None:
    assert reading_of(kling(task_status_msg=text)).lacks_result
    assert reading_of(kling(task_result={"videos": [{"id": "1", "message": text}]})).lacks_result
    assert reading_of(newapi(error=text)).lacks_result or text == A


def test_a_success_without_a_result_quotes_the_start_of_the_answer() -> None:
    reading = reading_of(kling(task_result={"clips": ["x" * 900]}))

    assert reading.lacks_result
    assert reading.detail.startswith('the task has succeeded, but the answer holds no result: {"code":0,')
    assert len(reading.detail) < 300


def test_a_success_with_a_message_that_its_results_were_filtered_has_failed() -> None:
    for said, kind in (
        ("all outputs were filtered", ReadingKind.FAILED),
        ("generation finished", ReadingKind.AMBIGUOUS),
    ):
        body = {"task_id": "T", "status": "succeeded", "message": said}
        reading = reading_of(body, provider="newapi", task_id="T")

        assert reading.kind is kind, reading
        assert kind is not ReadingKind.FAILED or reading.detail == said


def test_the_code_of_an_item_without_a_result_is_the_failures() -> None:
    output = {"task_id": OP, "task_status": "SUCCEEDED", "results": [{"code": "DataInspectionFailed", "message": "no"}]}
    reading = reading_of({"output": output}, provider="dashscope", task_id=OP, action=None)

    assert reading.snapshot is not None
    assert (reading.kind, reading.snapshot.error_code) == (ReadingKind.FAILED, "DataInspectionFailed")


@pytest.mark.parametrize(("empty", "kind"), [(3, ReadingKind.FAILED), (200_000, ReadingKind.AMBIGUOUS)])
def test_only_the_first_of_many_lost_items_are_asked_for_their_reason(empty: int, kind: ReadingKind) -> None:
    items: list[Json] = [{}] * empty + [{"error": "blocked by the filter"}]
    body: Json = {"id": TASK_ID, "status": "succeeded", "output": items}
    assert reading_of(body).kind is kind
