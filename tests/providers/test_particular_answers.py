"""Answers of particular providers in addition to the recorded ones."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.task import Json, ReadingKind, Snapshot
from tests.providers.reading_of import reading_of

A, B = "https://cdn.example.com/a.mp4", "https://cdn.example.com/b.mp4"
IMAGE = "https://cdn.example.com/i.png"
SOUND = "https://cdn.example.com/s.mp3"
OP = "models/veo-3/operations/a"
HOUR_MS = 3_600_000


def _seen(provider: str, body: Json, **asked: Any) -> Snapshot:
    reading = reading_of(body, provider=provider, **{"task_id": "1", "action": None, **asked})
    assert reading.kind is ReadingKind.SUCCEEDED, reading
    assert reading.snapshot is not None
    return reading.snapshot


def _result(provider: str, body: Json, **asked: Any) -> dict[str, list[Any]]:
    result = _seen(provider, body, **asked).result
    return {kind: [item.get("url", item.get("text")) for item in items] for kind, items in result.items()}


def _prediction(output: Json, **fields: Json) -> Json:
    return {"id": "1", "status": "succeeded", "output": output, **fields}


def _kie(**data: Json) -> Json:
    return {"code": 200, "msg": "success", "data": {"taskId": "1", **data}}


def _veo(response: Json) -> Json:
    return {"name": OP, "done": True, "response": response}


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("fal", {"status": "error", "message": "upstream timeout"}),
        ("fal", {"status": "failed", "error": "bad gateway"}),
        ("siliconflow", {"status": "failed", "message": "bad gateway"}),
        ("jimeng", {"code": 0, "message": "an aggregator's own", "data": None}),
        ("jimeng", {"code": 500, "message": "an aggregator's own", "data": None}),
        ("avatar", {"id": "1", "web_work_status": 3, "work_video_path": "pending"}),
    ],
)
def test_an_answer_that_only_resembles_a_finish_does_not_finish_the_task(provider: str, body: Json) -> None:
    reading = reading_of(body, provider=provider, task_id="1", action="jimeng_t2i")

    assert reading.kind in {ReadingKind.AMBIGUOUS, ReadingKind.RUNNING}


RESULTS: list[tuple[str, Json, dict[str, list[Any]]]] = [
    ("kie", _kie(state="success", resultJson="", videoInfo={"videoUrl": A, "imageUrl": IMAGE}), {"videos": [A]}),
    ("kie", _kie(successFlag="SUCCESS", response={"audioWavUrl": SOUND}), {"audios": [SOUND]}),
    ("kie", _kie(successFlag="CALLBACK_EXCEPTION", response={"videoUrl": A}), {"videos": [A]}),
    (
        "kie",
        _kie(successFlag="SUCCESS", response={"originUrl": None, "instrumentalUrl": SOUND, "vocalUrl": f"{SOUND}?v"}),
        {"audios": [f"{SOUND}?v", SOUND]},
    ),
    (
        "dashscope",
        {
            "output": {
                "task_id": "1",
                "task_status": "SUCCEEDED",
                "results": [{"file_url": SOUND, "transcription_url": "https://x.example.com/t.json"}],
            }
        },
        {"files": ["https://x.example.com/t.json"]},
    ),
    (
        "replicate",
        _prediction({"video": A, "n": 3, "cover": {"image": "https://x.example.com/y"}}),
        {"videos": [A], "images": ["https://x.example.com/y"]},
    ),
    ("replicate", _prediction([[A, A], {"z": [B]}]), {"videos": [A, B]}),
    ("replicate", _prediction("https://x.example.com/y"), {"files": ["https://x.example.com/y"]}),
    ("replicate", _prediction("a poem"), {"texts": ["a poem"]}),
    ("replicate", _prediction(0.93), {"texts": ["0.93"]}),
    ("replicate", _prediction({"score": 1}), {"texts": ['{"score":1}']}),
    ("replicate", _prediction(False), {"texts": ["false"]}),
    ("unified_v2", {"task_id": "1", "status": "SUCCESS", "data": {"outputs": [A, B]}}, {"videos": [A, B]}),
    (
        "unified_v2",
        {"code": "success", "data": {"task_id": "1", "status": "SUCCESS", "data": {"output": A}}},
        {"videos": [A]},
    ),
    *(
        (provider, {"id": "1", "object": "video", "status": "completed", "metadata": {"url": A}}, {"videos": [A]})
        for provider in ("newapi", "kling")
    ),
    ("video_query", {"id": "1", "status": "completed", "video_url": A, "detail": {}}, {"videos": [A]}),
    ("jimeng", {"code": "success", "data": {"task_id": "1", "status": "SUCCESS", "result_url": A}}, {"videos": [A]}),
    ("vidu", {"state": "success", "err_code": "", "creations": [{"id": "c", "url": A}]}, {"videos": [A]}),
    (
        "ark",
        {"code": "success", "data": {"task_id": "1", "status": "SUCCESS", "data": {"content": {"video_url": A}}}},
        {"videos": [A]},
    ),
    ("openai_video", {"id": "1", "status": "completed", "video_url": A}, {"videos": [A]}),
    (
        "luma",
        {"id": "1", "state": "completed", "video": {"url": B, "download_url": A}, "thumbnail": {"url": IMAGE}},
        {"videos": [A]},
    ),
    ("luma", {"id": "1", "state": "completed", "assets": {"image": IMAGE, "progress_video": B}}, {"images": [IMAGE]}),
    (
        "luma",
        {
            "code": "success",
            "data": [{"task_id": "1", "status": "SUCCESS", "data": {"state": "completed", "video": {"url": A}}}],
        },
        {"videos": [A]},
    ),
    (
        "minimax",
        {"code": "success", "data": {"task_id": "1", "status": "SUCCESS", "data": {"file": {"download_url": A}}}},
        {"videos": [A]},
    ),
    ("minimax", {"task_id": "1", "status": "Success", "video_url": A}, {"videos": [A]}),
    ("minimax_v2", {"task": {"id": "1", "status": "succeeded", "content": {"url": A}}}, {"videos": [A]}),
    ("jimeng", {"code": 10000, "data": {"status": "done", "image_urls": [IMAGE]}}, {"images": [IMAGE]}),
    ("flux", {"id": "1", "status": "Ready", "result": {"sample": A}}, {"videos": [A]}),
    ("vidu", {"code": "success", "data": {"task_id": "1", "status": "SUCCESS", "result_url": A}}, {"videos": [A]}),
    ("ark", {"code": "success", "data": {"task_id": "1", "status": "succeeded", "url": A}}, {"videos": [A]}),
    ("runway", {"id": "1", "status": "SUCCEEDED", "output": [A, IMAGE]}, {"videos": [A], "images": [IMAGE]}),
    (
        "midjourney",
        {"id": "1", "status": "SUCCESS", "action": "SHORTEN", "imageUrl": "", "properties": {"finalPrompt": "cat"}},
        {"texts": ["cat"]},
    ),
    (
        "suno",
        {"code": 1, "data": {"task_id": "1", "status": "complete", "data": [{"id": "c", "audio_url": SOUND}]}},
        {"audios": [SOUND]},
    ),
]


@pytest.mark.parametrize(("provider", "body", "result"), RESULTS)
def test_results_are_found_wherever_a_system_puts_them(provider: str, body: Json, result: dict[str, list[Any]]) -> None:
    assert _result(provider, body) == result


@pytest.mark.parametrize(
    "response",
    [
        {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": A}}]}},
        {"generateVideoResponse": {"generatedVideos": [{"video": {"uri": A}}]}},
        {"generatedVideos": [{"video": {"uri": A}}]},
        {"generatedSamples": [{"video": {"uri": A}}]},
        {"video": {"uri": A}},
        {"video": A},
    ],
)
def test_veos_videos_are_found_in_every_documented_place(response: Json) -> None:
    assert _result("veo", _veo(response), task_id=OP) == {"videos": [A]}


FAILURES: list[tuple[str, Json, str]] = [
    ("veo", {"name": OP, "done": True, "error": "quota"}, "quota"),
    ("veo", {"name": OP, "done": True, "error": {"code": "x", "message": "no"}}, "no"),
    (
        "veo",
        _veo({"generateVideoResponse": {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["unsafe"]}}),
        "unsafe",
    ),
    ("jimeng", {"code": 50411, "message": "Pre Img Risk Not Pass", "data": None}, "Pre Img Risk Not Pass"),
    ("vidu", {"id": OP, "state": "failed", "err_code": "CreditInsufficient"}, "CreditInsufficient"),
    ("ark", {"id": OP, "status": "expired"}, ""),
    ("runway", {"id": OP, "status": "FAILED", "failureCode": "INTERNAL"}, "INTERNAL"),
    ("minimax", {"task_id": "", "base_resp": {"status_code": 1026, "status_msg": "no"}}, "no"),
    ("minimax_v2", {"task": {"id": OP, "status": "failed", "error": {"code": 1, "message": "no"}}}, "no"),
    ("flux", {"id": OP, "status": "Content Moderated"}, "Content Moderated"),
    ("luma", {"id": OP, "state": "failed", "state_reason": "no"}, "no"),
    ("suno", {"code": "success", "data": {"task_id": OP, "status": "error", "fail_reason": "no"}}, "no"),
]


@pytest.mark.parametrize(("provider", "body", "message"), FAILURES)
def test_failures_are_reported_with_their_reason(provider: str, body: Json, message: str) -> None:
    reading = reading_of(body, provider=provider, task_id=OP)

    assert reading.kind is ReadingKind.FAILED, reading
    assert reading.snapshot is not None
    assert reading.snapshot.message == message
    assert message in reading.detail


OTHERS: list[tuple[str, int, Json, ReadingKind]] = [
    ("replicate", 200, _prediction(None, data_removed=True), ReadingKind.EXPIRED_RESULT),
    ("replicate", 200, _prediction(None), ReadingKind.AMBIGUOUS),
    ("replicate", 200, {"id": "1", "status": "aborted"}, ReadingKind.CANCELED),
    ("midjourney", 200, {"id": "1", "status": "MODAL"}, ReadingKind.NEEDS_INPUT),
    ("midjourney", 200, {"id": "1", "status": "CANCEL"}, ReadingKind.CANCELED),
    ("midjourney", 200, {"id": "1", "status": "", "imageUrl": IMAGE}, ReadingKind.PENDING),
    ("midjourney", 200, b"", ReadingKind.NOT_FOUND),
    ("midjourney", 500, b"", ReadingKind.TRANSIENT),
    ("midjourney", 200, b"<html>", ReadingKind.TRANSIENT),
    ("suno", 200, b"", ReadingKind.TRANSIENT),
    (
        *("midjourney", 400),
        {"code": 4, "description": "task_no_found ", "type": "upstream_error"},
        ReadingKind.NOT_FOUND,
    ),
    ("midjourney", 400, {"code": 4, "description": "bad", "type": "upstream_error"}, ReadingKind.BAD_REQUEST),
    ("jimeng", 200, {"code": 10000, "data": {"status": "not_found"}}, ReadingKind.NOT_FOUND),
    *(
        ("jimeng", 200, {"code": code, "data": {"status": "expired"}}, ReadingKind.EXPIRED_RESULT)
        for code in (10000, "10000")
    ),
    ("jimeng", 429, {"code": 50430, "message": "slow down"}, ReadingKind.RATE_LIMITED),
    ("jimeng", 500, {"code": 77, "message": "oops"}, ReadingKind.TRANSIENT),
    ("jimeng", 200, {"code": "insufficient_quota", "message": "pay"}, ReadingKind.ACCOUNT_ERROR),
    ("flux", 200, {"id": "1", "status": "Task not found"}, ReadingKind.NOT_FOUND),
    ("flux", 200, {"id": "2", "status": "Ready", "result": {"sample": A}}, ReadingKind.AMBIGUOUS),
    ("openai_video", 200, {"id": "1", "status": "unknown"}, ReadingKind.AMBIGUOUS),
    (
        "minimax",
        200,
        {"task_id": "1", "status": "Success", "base_resp": {"status_code": 1002}},
        ReadingKind.RATE_LIMITED,
    ),
    ("minimax", 200, {"base_resp": {"status_code": 1008, "status_msg": "balance"}}, ReadingKind.ACCOUNT_ERROR),
    ("minimax", 200, {"task_id": "1", "status": "Success", "base_resp": {"status_code": 7}}, ReadingKind.AMBIGUOUS),
    ("minimax", 200, {"task_id": "1", "status": "Success"}, ReadingKind.AMBIGUOUS),
    ("avatar", 200, {"id": "1", "web_work_status": 3, "work_video_path": ""}, ReadingKind.RUNNING),
    ("avatar", 200, {"id": "1", "work_video_path": None}, ReadingKind.RUNNING),
    ("avatar", 200, {"id": "1"}, ReadingKind.AMBIGUOUS),
    ("veo", 200, {"name": "1", "done": True, "response": {}}, ReadingKind.AMBIGUOUS),
    ("veo", 200, {"error": {"code": 404, "message": "no"}}, ReadingKind.AMBIGUOUS),
    ("runway", 200, {"id": "1", "status": "THROTTLED"}, ReadingKind.PENDING),
    *(
        ("jimeng", status, {"code": 50411, "message": "Pre Img Risk Not Pass", "data": None}, kind)
        for status, kind in [
            (200, ReadingKind.FAILED),
            (400, ReadingKind.FAILED),
            (401, ReadingKind.AUTH_ERROR),
            (403, ReadingKind.ACCOUNT_ERROR),
            (404, ReadingKind.NOT_FOUND),
            (429, ReadingKind.RATE_LIMITED),
            (502, ReadingKind.TRANSIENT),
        ]
    ),
    ("jimeng", 400, {"code": 50200, "message": "bad parameter", "data": None}, ReadingKind.BAD_REQUEST),
    ("jimeng", 200, {"code": 10000, "data": {"task_id": "2", "status": "done", "video_url": A}}, ReadingKind.AMBIGUOUS),
    ("kling_v2", 200, {"code": 0, "data": []}, ReadingKind.NOT_FOUND),
    ("kling_v2", 429, {"code": 1102, "message": "used up"}, ReadingKind.ACCOUNT_ERROR),
    *(
        (provider, 400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}, ReadingKind.NOT_FOUND)
        for provider in ("newapi", "kling", "suno", "unified_v2", "luma", "minimax", "vidu", "ark", "jimeng", "avatar")
    ),
]


@pytest.mark.parametrize(("provider", "status", "body", "kind"), OTHERS)
def test_other_answers_have_their_documented_meaning(provider: str, status: int, body: Json, kind: ReadingKind) -> None:
    assert reading_of(body, provider=provider, status=status, task_id="1", action=None).kind is kind


def test_a_good_clip_is_reported_together_with_a_failed_one() -> None:
    clips = [
        {"id": "a", "status": "complete", "audio_url": SOUND, "image_url": IMAGE, "metadata": {"duration": 9.5}},
        {"id": "b", "status": "error", "audio_url": "", "metadata": {"error_message": "out of tune"}},
    ]
    seen = _seen("suno", {"code": "success", "data": {"task_id": "1", "status": "SUCCESS", "data": clips}})

    (clip,) = seen.result["audios"]
    assert (clip["id"], clip["url"], clip["duration"], clip["cover_url"]) == ("a", SOUND, 9.5, IMAGE)
    assert seen.message == "out of tune"


def test_watermark_cover_and_duration_have_one_name_everywhere() -> None:
    creation = {"id": "c", "url": A, "cover_url": IMAGE, "watermarked_url": B}
    (video,) = _seen("vidu", {"id": "1", "state": "success", "creations": [creation]}).result["videos"]
    assert video == {**creation, "watermark_url": B}

    work = {"id": "1", "work_video_path": A, "work_webp_path": IMAGE}
    (video,) = _seen("avatar", work).result["videos"]
    assert (video["url"], video["cover_url"]) == (A, IMAGE)


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai_video", {"id": "1", "status": "completed"}),
        ("newapi", {"task_id": "1", "status": "SUCCESS", "result_url": "https://api.example.com/v1/videos/1/content"}),
        (
            "veo",
            {
                **_veo(
                    {"generatedVideos": [{"video": {"uri": "https://generativelanguage.googleapis.com/v1beta/f:d"}}]}
                ),
                "name": "1",
            },
        ),
    ],
)
def test_a_result_that_only_the_key_can_fetch_is_marked_and_reported(provider: str, body: Json) -> None:
    reading = reading_of(body, provider=provider, task_id="1", action=None)

    assert reading.snapshot is not None
    assert reading.snapshot.result["videos"][0]["needs_key"] is True
    assert reading.detail == "1 result can only be downloaded with the account's API key"


@pytest.mark.parametrize(
    ("provider", "body", "expires_ms"),
    [
        ("replicate", _prediction(A, completed_at="2025-11-01T12:26:40Z"), 1_762_000_000_000 + HOUR_MS),
        ("flux", {"id": "1", "status": "Ready", "result": {"sample": A, "end_time": 1762000000}}, 1_762_000_600_000),
        (
            "openai_video",
            {"id": "1", "status": "completed", "expires_at": 1762000000, "created_at": 1},
            1_762_000_000_000,
        ),
        (
            "ark",
            {"id": "1", "status": "succeeded", "updated_at": 1762000000, "content": {"video_url": A}},
            1_762_086_400_000,
        ),
        ("vidu", {"id": "1", "state": "success", "creations": [{"url": A}]}, None),
        ("suno", {"data": {"task_id": "1", "status": "SUCCESS", "finish_time": 1762000000, "result_url": A}}, None),
    ],
)
def test_the_expiry_of_results_is_known(provider: str, body: Json, expires_ms: int | None) -> None:
    if provider == "suno":
        body["data"]["data"] = [{"audio_url": SOUND}]
    assert _seen(provider, body).expires_ms == expires_ms


@pytest.mark.parametrize(
    ("provider", "body", "headers", "hint_s"),
    [
        ("replicate", {"detail": "Request was throttled. Your rate limit resets in ~30s."}, {}, 30),
        ("replicate", {"detail": "Request was throttled. Your rate limit resets in ~30s."}, {"retry-after": "7"}, 7),
        ("replicate", {"detail": "Request was throttled. Your rate limit resets in ~2m."}, {}, 120),
        ("replicate", {"detail": "Request was throttled. Expected available in 57 seconds."}, {}, 57),
        ("openai_video", {"error": {"message": "Limit 5, Used 5. Please try again in 6m0s."}}, {}, 360),
        ("openai_video", {"error": {"message": "Please try again in 200ms."}}, {}, None),
        ("veo", {"error": {"message": "Quota exceeded, limit: 10\nPlease retry in 21.5s."}}, {}, 21.5),
        ("veo", {"error": {"message": "x", "details": [{"reason": "y"}, {"retryDelay": "21s"}]}}, {}, 21),
        ("flux", {"detail": "Rate limit exceeded, retry after 1 hour"}, {}, 3600),
        ("flux", {"detail": "Too many", "retry_after": 12}, {}, 12),
        ("suno", {"detail": "in ~30s"}, {}, None),
    ],
)
def test_a_hint_in_the_body_counts_where_there_is_no_header(
    provider: str, body: Json, headers: dict[str, str], hint_s: float | None
) -> None:
    reading = reading_of(body, provider=provider, status=429, headers=headers)

    assert (reading.kind, reading.retry_after_s) == (ReadingKind.RATE_LIMITED, hint_s)


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("PENDING", ReadingKind.PENDING),
        (0, ReadingKind.RUNNING),
        ("GENERATE_WAV_FAILED", ReadingKind.FAILED),
        (3, ReadingKind.FAILED),
    ],
)
def test_the_flag_of_a_kie_task_is_a_number_or_a_word(flag: Json, kind: ReadingKind) -> None:
    reading = reading_of(_kie(successFlag=flag, errorMessage="no"), provider="kie", task_id="1")

    assert (reading.kind, reading.detail) == (kind, "no" if kind is ReadingKind.FAILED else "")


@pytest.mark.parametrize("word", ["FAILURE", "failed"])
def test_a_luma_task_that_the_aggregator_failed_has_failed(word: str) -> None:
    task = {"task_id": "1", "status": word, "fail_reason": "timeout", "data": {"id": "x", "state": "processing"}}
    reading = reading_of({"code": "success", "data": [task]}, provider="luma", task_id="1")

    assert (reading.kind, reading.detail) == (ReadingKind.FAILED, "timeout")


@pytest.mark.parametrize("word", ["COMPLETED", "completed"])
def test_a_completed_runpod_job_with_an_error_has_failed(word: str) -> None:
    reading = reading_of({"id": "1", "status": word, "output": {"error": "boom"}}, provider="runpod", task_id="1")

    assert (reading.kind, reading.detail) == (ReadingKind.FAILED, "boom")


def test_the_reason_says_whether_a_result_is_gone_or_still_missing() -> None:
    gone = reading_of(_prediction(None, data_removed=True), provider="replicate", task_id="1")
    waits = reading_of({"id": "1", "status": "MODAL"}, provider="midjourney", task_id="1")

    assert gone.detail == "the task has succeeded, but the provider has already deleted its result"
    assert waits.detail == "the task waits for a person to choose or confirm something at the provider"
