"""Results, tasks and reasons are found wherever aggregators put them."""

from __future__ import annotations

import orjson
import pytest

from bridge.domain.task import Json, ReadingKind
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.new_tasks import created
from tests.providers.reading_of import newapi, reading_of

pytestmark = pytest.mark.usefixtures("unmeasured")

A = "https://cdn.example.com/a.mp4"
IMAGE = "https://cdn.example.com/i.png"
CLIPS = orjson.dumps([{"id": "c", "audio_url": A}]).decode()
SONGS = orjson.dumps({"songs": [{"id": "s", "song_path": A}]}).decode()  # of Udio
AGGREGATORS = ("openai_video", "newapi", "kling", "unified_v2", "video_query", "ark", "minimax", "vidu", "runway")
PLACEHOLDERS: list[Json] = [
    {"video_url": A},
    {"videoUrl": A},
    {"video": {"url": A}},
    {"video": A},
    {"output": {"url": A}},
    {"output": {"video_url": A, "duration": 5}},
    {"output": [A]},
    {"output": [{"url": A, "type": "video"}]},
    {"output": A},
    {"outputs": [A]},
    {"result_url": A},
    {"result": {"video_url": A}},
    {"result": {"videos": [{"url": A}]}},
    {"metadata": {"url": A}},
    {"url": A},
    {"data": {"video_url": A}},
    {"data": [{"url": A}]},
    {"content": {"video_url": A}},
    {"videos": [{"url": A, "cover_url": IMAGE}]},
    {"image_url": IMAGE, "data": {"video_url": A}},
    {"data": {"metadata": {"url": A}}},
    {"output": {"result": {"video_url": A}}},
    {"file": {"download_url": A}},
    {"result": {"videos": [{"url": [A]}]}},
    {"output": {"audio": {"url": A}}},
    {"output": {"image_url": A}},
    {"task_result": {"videos": [{"url": A}]}},
    {"image_url": IMAGE, "image": IMAGE, "video": {"url": A}},
    {"files": [{"file_url": A, "file_type": "video"}]},
    {"output_videos": [A]},
    {"content_url": A},
    {"result": {"video": {"resource_url": A}}},
    {"artifacts": [{"url": A, "previewUrls": [IMAGE]}]},
    {"artifacts": [{"key": "video", "content_url": A}]},
    {"output": f'["{A}"]'},
    {"result": f'{{"video_url": "{A}"}}'},
    {"resultJson": f' {{"resultUrls": ["{A}"]}}'},
    {"data": f'{{"output": "{A}"}}'},
]


@pytest.mark.parametrize("place", PLACEHOLDERS, ids=str)
@pytest.mark.parametrize("provider", AGGREGATORS)
def test_an_aggregators_result_is_found_wherever_it_puts_it(provider: str, place: dict[str, Json]) -> None:
    for ids in ({"task_id": "T"}, {"id": "T"}, {"id": "T", "task_id": "T"}):
        for word in ("succeeded", "SUCCESS", "done", "Completed"):
            task = {**ids, "status": word, "object": "video", **place}
            for body in (task, {"code": "success", "data": task}, {"code": 0, "message": "", "data": task}):
                reading = reading_of(body, provider=provider, task_id="T", action=None)
                assert reading.kind is ReadingKind.SUCCEEDED, (body, reading)
                assert reading.snapshot is not None
                assert reading.snapshot.urls == (A,), body


@pytest.mark.parametrize("provider", ["openai_video", "newapi", "video_query"])
def test_a_picture_that_a_video_was_made_from_is_no_result(provider: str) -> None:
    for key in ("image_url", "imageUrl", "image", "audio_url"):
        body = {"code": 0, "data": {"task_id": "T", "status": "succeeded", key: IMAGE}}
        reading = reading_of(body, provider=provider, task_id="T", action=None)

        assert (reading.kind, reading.lacks_result) == (ReadingKind.AMBIGUOUS, True), reading


@pytest.mark.parametrize("key", ["images", "image_urls", "imageUrls"])
def test_pictures_in_the_metadata_of_a_video_are_no_results(key: str) -> None:
    metadata: Json = {key: ["https://cdn.example.com/input.png"]}
    for held in (metadata, orjson.dumps(metadata).decode()):
        body = {"id": "T", "status": "completed", "progress": 100, "metadata": held}
        seen = reading_of(body, provider="openai_video", task_id="T").snapshot

        assert seen is not None
        assert seen.urls == ("https://api.example.com/v1/videos/T/content",)


@pytest.mark.parametrize(
    ("provider", "body", "kind"),
    [
        ("video_query", {"id": "1", "status": "completed", "detail": {"status": "done", "video_url": A}}, "videos"),
        ("suno", {"data": {"task_id": "1", "status": "SUCCESS", "data": CLIPS}}, "audios"),
        ("suno", {"data": {"task_id": "1", "status": "SUCCESS", "data": SONGS}}, "audios"),
    ],
)
def test_a_result_is_found_inside_what_the_vendor_said(provider: str, body: Json, kind: str) -> None:
    reading = reading_of(body, provider=provider, task_id="1", action=None)
    assert reading.snapshot is not None
    assert {name: [item["url"] for item in items] for name, items in reading.snapshot.result.items()} == {kind: [A]}


def test_a_refused_address_inside_an_answer_does_not_hide_its_file() -> None:
    inner: Json = {"id": "v", "progress": 1, "status": "completed", "response": {"video_url": "http://10.0.0.5/x.mp4"}}
    body = {"id": "T", "status": "completed", "progress": 100, "data": inner}
    seen = reading_of(body, provider="openai_video", task_id="T").snapshot

    assert seen is not None
    assert seen.urls == ("https://api.example.com/v1/videos/T/content",)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"data": {"id": "T", "status": "done", "video_url": A}}},
        {"code": 0, "data": {"task": {"id": "T", "state": "done", "video_url": A}}},
        {"task": {"task_id": "T", "status": "done", "video_url": A}},
        {"request_id": "r", "output": {"task_id": "T", "task_status": "SUCCEEDED", "video_url": A}},
        {"code": 200, "data": f'{{"task_id": "T", "status": "SUCCESS", "video_url": "{A}"}}'},
    ],
)
def test_a_task_is_found_inside_the_wrapper_of_an_aggregator(body: Json) -> None:
    for provider in ("newapi", "openai_video", "video_query"):
        reading = reading_of(body, provider=provider, task_id="T", action=None)

        assert reading.snapshot is not None, reading
        assert (reading.kind, reading.snapshot.urls) == (ReadingKind.SUCCEEDED, (A,))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"reason": "no"}, "no"),
        ({"failReason": "no"}, "no"),
        ({"error_msg": "no", "error_code": "E7"}, "no (E7)"),
        ({"status_message": "no"}, "no"),
        ({"fail_msg": "no", "fail_code": 3}, "no (3)"),
        ({"detail": {"error_message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"error": '{"error": {"code": 7, "message": "no"}}'}, "no"),
        ({"fail_reason": "Task failed.", "error": "no"}, "no"),
        ({"fail_reason": "任务失败", "message": "success", "data": {"message": "no"}}, "no"),
        ({"fail_reason": "video generation failed"}, "video generation failed"),
        ({"message": "success"}, "FAILED"),
        ({"errors": {"code": 422, "message": "no"}}, "no"),
        ({"error": {"errorMessage": "no", "reason": "SAFETY"}}, "no"),
        ({"fail_reason": '{"message": "no"}'}, "no"),
        ({"fail_reason": '{"code": 7}'}, '{"code": 7}'),
        ({"fail_reason": "[no]"}, "[no]"),
        ({}, "FAILED"),
    ],
)
@pytest.mark.parametrize("provider", AGGREGATORS)
def test_an_aggregators_reason_for_a_failure_is_found_wherever_it_puts_it(
    provider: str, body: Json, reason: str
) -> None:
    task = {"task_id": "T", "status": "FAILED", **body}

    assert reading_of({"code": 0, "data": task}, provider=provider, task_id="T", action=None).detail == reason


@pytest.mark.parametrize("provider", ["kie", "minimax", "midjourney", "heygen", "zhipu", "replicate", "runway"])
def test_a_refusal_in_another_vendors_form_keeps_its_text(provider: str) -> None:
    for key in ("message", "detail", "msg", "error"):
        reading = reading_of({key: "not for you"}, provider=provider, status=400, task_id="T", action=None)

        assert "not for you" in reading.detail, (key, reading)


def test_an_error_that_names_an_id_creates_no_task() -> None:
    for name, answer in (("fal", {"request_id": "r", "detail": "no"}), ("xai", {"request_id": "r", "error": "no"})):
        assert created(BUILT_IN[name], answer) is None


def test_a_failure_without_a_text_gets_the_text_of_the_outer_answer() -> None:
    for outer, reason in (
        ("content policy", "content policy"),
        ("SUCCEED", "failed"),
        ("ok", "failed"),
        ("", "failed"),
    ):
        for own in ("", "failed"):
            task = {"task_id": "T", "status": "failed", "fail_reason": own}
            body = {"code": 0, "message": outer, "data": task}

            assert reading_of(body, provider="newapi", task_id="T").detail == reason


@pytest.mark.parametrize("word", ["timeout", "TIMED_OUT"])
def test_a_task_that_timed_out_at_the_provider_has_failed(word: str) -> None:
    reading = reading_of(newapi(word), provider="newapi")

    assert (reading.kind, reading.detail) == (ReadingKind.FAILED, word)


@pytest.mark.parametrize(
    "text",
    [
        '{"task_id": "T", "status": "SUCCESS", "status": "FAILURE"}',
        '{"task_id": "T", "status": "SUCCESS"',
        '{"task_id": "T", "status": "SUCCESS", "url": ' + 70 * "[" + 70 * "]" + "}",
        '{"task_id": "T", "status": "SUCCESS", "url": ' + 2000 * "[" + 2000 * "]" + "}",
        '{"task_id": "other", "status": "SUCCESS"}',
    ],
    ids=["repeated key", "cut off", "deep", "very deep", "another task"],
)
def test_a_task_in_a_damaged_json_text_does_not_finish(text: str) -> None:
    reading = reading_of({"code": 200, "data": text}, provider="newapi", task_id="T", action=None)

    assert reading.kind is ReadingKind.AMBIGUOUS


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("waiting queuing initializing not_started", ReadingKind.PENDING),
        ("image_downloading video_generating video_generation_completed video_upsampling", ReadingKind.RUNNING),
        ("Uploading started video-upsampling-completed", ReadingKind.RUNNING),
        ("rejected NSFW errored video_generation_failed", ReadingKind.FAILED),
        ("blocked unknown stopped approved", ReadingKind.AMBIGUOUS),
    ],
)
@pytest.mark.parametrize("provider", ["openai_video", "video_query", "kling", "unified_v2"])
def test_the_words_of_resellers_have_their_meaning(provider: str, words: str, kind: ReadingKind) -> None:
    for word in words.split():
        reading = reading_of(
            {"id": "T", "task_id": "T", "status": word, "video_url": A}, provider=provider, task_id="T"
        )

        assert reading.kind is kind, word
