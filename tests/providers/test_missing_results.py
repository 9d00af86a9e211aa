"""A success whose results were withheld, lost, or stand where only a gateway puts them."""

from __future__ import annotations

import base64

import orjson
import pytest

from bridge.domain.task import Json, Kind, Snapshot
from bridge.providers.catalogue import descriptions, load_descriptions
from bridge.providers.new_tasks import created
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from tests.providers.reading_of import TASK_ID, answered, kling, newapi, reading_of

A, B = "https://cdn.example.com/a.mp4", "https://cdn.example.com/b.mp4"
IMAGE = "https://cdn.example.com/i.png"
OP = "models/veo-3/operations/x"


def _veo(**response: Json) -> Json:
    return {"name": OP, "done": True, "response": response}


def _suno(*clips: Json) -> Json:
    return {"code": "success", "data": {"task_id": OP, "status": "SUCCESS", "data": list(clips)}}


_BAD_CLIP = {"id": "b", "status": "error", "audio_url": "", "metadata": {"error_message": "sensitive word"}}

FILTERED: list[tuple[str, Json, str]] = [
    ("veo", _veo(raiMediaFilteredCount=1, raiMediaFilteredReasons=["r"]), "r"),
    ("veo", _veo(raiMediaFilteredCount=2), "withheld by the safety filter"),
    ("veo", _veo(generateVideoResponse={"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["r", "s"]}), "r; s"),
    ("veo", _veo(generateVideoResponse={"generatedSamples": [], "raiMediaFilteredReasons": ["r"]}), "r"),
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

    assert reading.kind is Kind.FAILED, reading
    assert reason in reading.detail


PARTLY: list[tuple[str, Json, str]] = [
    (
        "veo",
        _veo(
            generateVideoResponse={
                "generatedSamples": [{"video": {"uri": A}}],
                "raiMediaFilteredCount": 1,
                "raiMediaFilteredReasons": ["celebrity"],
            }
        ),
        "celebrity",
    ),
    ("veo", _veo(videos=[{"uri": A}], raiMediaFilteredCount=1, raiMediaFilteredReasons=["child"]), "child"),
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

    assert reading.kind is Kind.SUCCEEDED, reading
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
def test_a_gateways_success_with_nothing_but_an_error_has_failed(provider: str, body: Json, reason: str) -> None:
    reading = reading_of(body, provider=provider, task_id=TASK_ID if provider == "kling" else OP, action=None)

    assert (reading.kind, reading.detail) == (Kind.FAILED, reason)


def test_a_gateways_list_with_a_lost_item_says_why() -> None:
    body = {"task_id": OP, "status": "succeeded", "images": [{"url": A}, {"error": "nsfw"}]}
    reading = reading_of(body, provider="newapi", task_id=OP)

    assert (reading.kind, reading.detail) == (Kind.SUCCEEDED, "some results are missing: nsfw")


@pytest.mark.parametrize("text", ["", "SUCCEED", "ok", "Task completed.", "任务成功", "generated in 3 s", A])
def test_a_success_text_is_not_the_reason_for_missing_results(text: str) -> None:
    assert reading_of(kling(task_status_msg=text)).lacks_result
    assert reading_of(newapi(error=text)).lacks_result or text == A


def test_a_success_without_a_result_quotes_the_start_of_the_answer() -> None:
    reading = reading_of(kling(task_result={"clips": ["x" * 900]}))

    assert reading.lacks_result
    assert reading.detail.startswith('the task has succeeded, but the answer holds no result: {"code":0,')
    assert len(reading.detail) < 300


GATEWAYS = ("openai_video", "newapi", "kling", "unified_v2", "video_query", "ark", "minimax", "vidu", "runway")
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
]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("place", PLACEHOLDERS, ids=str)
@pytest.mark.parametrize("provider", GATEWAYS)
def test_a_gateways_result_is_found_wherever_it_puts_it(provider: str, place: dict[str, Json]) -> None:
    for ids in ({"task_id": "T"}, {"id": "T"}, {"id": "T", "task_id": "T"}):
        for word in ("succeeded", "SUCCESS", "done", "Completed"):
            task = {**ids, "status": word, "object": "video", **place}
            for body in (task, {"code": "success", "data": task}, {"code": 0, "message": "", "data": task}):
                reading = reading_of(body, provider=provider, task_id="T", action=None)
                assert reading.kind is Kind.SUCCEEDED, (body, reading)
                assert reading.snapshot is not None
                assert reading.snapshot.urls == (A,), body


@pytest.mark.parametrize("provider", ["openai_video", "newapi", "video_query"])
def test_a_picture_that_a_video_was_made_from_is_no_result(provider: str) -> None:
    for key in ("image_url", "imageUrl", "image", "audio_url"):
        body = {"code": 0, "data": {"task_id": "T", "status": "succeeded", key: IMAGE}}
        reading = reading_of(body, provider=provider, task_id="T", action=None)

        assert (reading.kind, reading.lacks_result) == (Kind.AMBIGUOUS, True), reading


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"data": {"id": "T", "status": "done", "video_url": A}}},
        {"code": 0, "data": {"task": {"id": "T", "state": "done", "video_url": A}}},
        {"task": {"task_id": "T", "status": "done", "video_url": A}},
        {"request_id": "r", "output": {"task_id": "T", "task_status": "SUCCEEDED", "video_url": A}},
    ],
)
def test_a_gateways_task_is_found_inside_what_it_wraps_it_in(body: Json) -> None:
    for provider in ("newapi", "openai_video", "video_query"):
        reading = reading_of(body, provider=provider, task_id="T", action=None)

        assert reading.snapshot is not None, reading
        assert (reading.kind, reading.snapshot.urls) == (Kind.SUCCEEDED, (A,))


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
        ({}, "FAILED"),
    ],
)
@pytest.mark.parametrize("provider", GATEWAYS)
def test_a_gateways_reason_for_a_failure_is_found_wherever_it_puts_it(provider: str, body: Json, reason: str) -> None:
    task = {"task_id": "T", "status": "FAILED", **body}

    assert reading_of({"code": 0, "data": task}, provider=provider, task_id="T", action=None).detail == reason


@pytest.mark.parametrize("provider", ["kie", "minimax", "midjourney", "heygen", "zhipu", "replicate", "runway"])
def test_a_refusal_in_another_vendors_form_keeps_its_text(provider: str) -> None:
    for key in ("message", "detail", "msg", "error"):
        reading = reading_of({key: "not for you"}, provider=provider, status=400, task_id="T", action=None)

        assert "not for you" in reading.detail, (key, reading)


def test_an_error_that_names_an_id_creates_no_task() -> None:
    for name, answer in (("fal", {"request_id": "r", "detail": "no"}), ("xai", {"request_id": "r", "error": "no"})):
        assert created(descriptions()[name], answer) is None


def test_a_failure_without_a_text_gets_the_text_of_the_outer_answer() -> None:
    for outer, reason in (
        ("content policy", "content policy"),
        ("SUCCEED", "failed"),
        ("ok", "failed"),
        ("", "failed"),
    ):
        body = {"code": 0, "message": outer, "data": {"task_id": "T", "status": "failed"}}

        assert reading_of(body, provider="newapi", task_id="T").detail == reason


def test_a_success_with_a_message_that_its_results_were_filtered_has_failed() -> None:
    for said, kind in (("all outputs were filtered", Kind.FAILED), ("generation finished", Kind.AMBIGUOUS)):
        body = {"task_id": "T", "status": "succeeded", "message": said}
        reading = reading_of(body, provider="newapi", task_id="T")

        assert reading.kind is kind, reading
        assert kind is not Kind.FAILED or reading.detail == said


def test_the_code_of_an_item_without_a_result_is_the_failures() -> None:
    output = {"task_id": OP, "task_status": "SUCCEEDED", "results": [{"code": "DataInspectionFailed", "message": "no"}]}
    reading = reading_of({"output": output}, provider="dashscope", task_id=OP, action=None)

    assert reading.snapshot is not None
    assert (reading.kind, reading.snapshot.error_code) == (Kind.FAILED, "DataInspectionFailed")


def test_a_cloud_address_is_named_in_the_result_and_the_reason_and_not_in_urls() -> None:
    cases: list[tuple[str, Json]] = [
        ("veo", _veo(videos=[{"gcsUri": "gs://bucket/v.mp4", "mimeType": "video/mp4"}])),
        ("newapi", {"task_id": OP, "status": "succeeded", "result_url": "gs://bucket/v.mp4"}),
        ("replicate", {"id": OP, "status": "succeeded", "output": {"video": "s3://bucket/v.mp4"}}),
    ]
    for provider, body in cases:
        reading = reading_of(body, provider=provider, task_id=OP, action=None)

        assert (reading.kind, reading.lacks_result) == (Kind.SUCCEEDED, False), reading
        seen = reading.snapshot or Snapshot()
        assert seen.urls == ()
        assert [item["url"].endswith("://bucket/v.mp4") for item in seen.result["videos"]] == [True]
        assert "://bucket/v.mp4" in reading.detail


OWN: Json = {
    "own": {
        "title": "a queue with a second request",
        "ask": {"path": "/q/{id}/status", "second": {"path": "/q/{value}"}},
        "codes": {
            "at": "contains(detail || '', 'still in progress') && 'too early' || null",
            "good": [0],
            "means": {"running": ["too early"]},
        },
        "forms": {
            "job": {
                "task": "@",
                "id": "request_id",
                "status": "status",
                "words": {"succeeded": ["completed"]},
                "second_value": "request_id",
                "results": [{"walk": "second"}],
            }
        },
    }
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (422, b'{"detail":[{"loc":["body"],"msg":"at most 2500 characters","type":"x"}]}', Kind.FAILED),
        (422, b'{"detail":"content policy"}', Kind.FAILED),
        (422, b"<html></html>", Kind.TRANSIENT),
        (400, b'{"detail":"Request is still in progress"}', Kind.RUNNING),
        (400, b'{"detail":"something else"}', Kind.BAD_REQUEST),
        (400, b'{"id":"T"}', Kind.AMBIGUOUS),
        (501, b'{"detail":"not implemented"}', Kind.AMBIGUOUS),
        (404, b'{"detail":"no such file"}', Kind.AMBIGUOUS),
        (409, b'{"detail":"not yet"}', Kind.PENDING),
        (425, b"", Kind.PENDING),
        (429, b"", Kind.RATE_LIMITED),
        (500, b'{"detail":"oops"}', Kind.TRANSIENT),
        (503, b"", Kind.TRANSIENT),
        (200, b'{"video":{"url":"https://cdn.example.com/a.mp4"}}', Kind.SUCCEEDED),
    ],
)
def test_a_second_request_that_is_refused_for_good_ends_the_task_and_a_passing_refusal_does_not(
    status: int, body: bytes, kind: Kind
) -> None:
    first = answered(b'{"request_id":"T","status":"COMPLETED"}')
    asked = PollContext(task_id="T", action=None, own_host="queue.example.com")
    reading = read(load_descriptions(OWN)["own"], first, asked, second=answered(body, status=status))

    assert reading.kind is kind, reading
    assert kind is not Kind.FAILED or "2500" in reading.detail or "content policy" in reading.detail
    assert kind is not Kind.BAD_REQUEST or reading.detail == "something else"


CODES: list[tuple[str, int, Json, str, str]] = [
    (
        "openai_video",
        200,
        {"id": OP, "status": "failed", "error": {"code": "moderation_blocked", "message": "blocked"}},
        "moderation_blocked",
        "blocked (moderation_blocked)",
    ),
    ("openai_video", 200, {"id": OP, "status": "failed", "error": {"code": 17}}, "17", "failed (17)"),
    (
        "ark",
        200,
        {"id": OP, "status": "failed", "error": {"code": "OutputAudioSensitiveContentDetected", "message": "audio"}},
        "OutputAudioSensitiveContentDetected",
        "audio (OutputAudioSensitiveContentDetected)",
    ),
    ("kling", 400, {"code": 1201, "message": "bad"}, "1201", "HTTP 400: code 1201: bad"),
    ("jimeng", 200, {"code": 50411, "message": "Risk", "data": None}, "50411", "code 50411: Risk"),
    ("vidu", 200, {"id": OP, "state": "failed", "err_code": "NoCredit"}, "NoCredit", "NoCredit"),
    ("runway", 200, {"id": OP, "status": "FAILED", "failure": "no", "failureCode": "S.1"}, "S.1", "no (S.1)"),
    (
        "minimax",
        200,
        {"task_id": OP, "status": "Fail", "base_resp": {"status_code": 1026, "status_msg": "sensitive"}},
        "1026",
        "sensitive (1026)",
    ),
    ("newapi", 422, {"error": {"code": "x_1", "message": "no"}}, "x_1", "HTTP 422: no"),
]


@pytest.mark.parametrize(("provider", "status", "body", "code", "reason"), CODES)
def test_the_providers_error_code_is_kept_and_shown_in_the_reason(
    provider: str, status: int, body: Json, code: str, reason: str
) -> None:
    reading = reading_of(body, provider=provider, status=status, task_id=OP, action=None)

    assert reading.snapshot is not None
    assert (reading.kind in {Kind.FAILED, Kind.BAD_REQUEST}, reading.snapshot.error_code) == (True, code)
    assert reading.detail == reason


@pytest.mark.parametrize(
    ("provider", "body", "reason"),
    [
        ("ark", {"id": "T", "status": "expired"}, "expired"),
        ("kling", {"code": 0, "data": {"task_id": "T", "task_status": "failed"}}, "failed"),
        ("newapi", {"task_id": "T", "status": "FAILURE", "error": {"code": "success"}}, "FAILURE"),
    ],
)
def test_a_failure_without_a_message_says_the_status_word(provider: str, body: Json, reason: str) -> None:
    assert reading_of(body, provider=provider, task_id="T").detail == reason


def test_a_time_without_a_zone_is_read_in_the_zone_of_the_description() -> None:
    tree = {
        "title": "t",
        "ask": {"path": "/{id}"},
        "times": {"zone": "Asia/Shanghai"},
        "result_life": {"lasts": "24h"},
        "forms": {
            "job": {
                "task": "@",
                "id": "id",
                "status": "status",
                "words": {"succeeded": ["done"]},
                "updated": "end_time",
                "results": [{"videos": "url"}],
            }
        },
    }
    body = b'{"id":"T","status":"done","url":"https://cdn.example.com/a.mp4","end_time":"2025-02-21 17:56:42.530"}'
    asked = PollContext(task_id="T", action=None, own_host="x")
    beijing = read(load_descriptions({"own": tree})["own"], answered(body), asked).snapshot
    utc = read(load_descriptions({"own": {**tree, "times": {}}})["own"], answered(body), asked).snapshot

    assert beijing is not None
    assert utc is not None
    assert beijing.updated_ms == 1_740_131_802_530  # 09:56:42.530 UTC
    assert utc.updated_ms == beijing.updated_ms + 8 * 3_600_000


def test_an_instant_ahead_of_our_clock_is_not_believed() -> None:
    body = newapi(result_url=A, created_at=1_762_000_000, finish_time=1_762_028_800)
    for now, finished in ((1_762_000_100.0, None), (1_762_028_700.0, 1_762_028_800_000)):
        asked = PollContext(task_id=TASK_ID, action=None, own_host="x", now=now)
        seen = read(load_descriptions({})["newapi"], answered(orjson.dumps(body)), asked).snapshot

        assert seen is not None
        assert (seen.created_ms, seen.updated_ms) == (1_762_000_000_000, finished)


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk" + "A" * 1936
PNG_BYTES = len(PNG) * 3 // 4
MP4 = base64.b64encode(b"\x00\x00\x00\x18ftypmp42" + bytes(3000)).decode()

FILES: list[tuple[str, Json, str, str, int]] = [
    (
        "replicate",
        {"id": OP, "status": "succeeded", "output": f"data:image/png;base64,{PNG}"},
        "images",
        "image/png",
        PNG_BYTES,
    ),
    (
        "replicate",
        {"id": OP, "status": "succeeded", "output": {"n": 1, "image": PNG}},
        "images",
        "image/png",
        PNG_BYTES,
    ),
    ("replicate", {"id": OP, "status": "succeeded", "output": [[PNG]]}, "images", "image/png", PNG_BYTES),
    ("replicate", {"id": OP, "status": "succeeded", "output": MP4}, "videos", "video/mp4", 3012),
    (
        "replicate",
        {"id": OP, "status": "succeeded", "output": "QUJDabc1" * 250},
        "files",
        "application/octet-stream",
        1500,
    ),
    ("veo", _veo(videos=[{"bytesBase64Encoded": MP4, "mimeType": "video/mp4"}]), "videos", "video/mp4", 3012),
    ("veo", _veo(video="AAAA"), "videos", "application/octet-stream", 3),
    (
        "jimeng",
        {"code": 10000, "data": {"status": "done", "binary_data_base64": [PNG]}},
        "images",
        "image/png",
        PNG_BYTES,
    ),
    ("newapi", {"task_id": OP, "status": "succeeded", "data": [{"b64_json": PNG}]}, "images", "image/png", PNG_BYTES),
    (
        "newapi",
        {"task_id": OP, "status": "succeeded", "url": f"data:video/mp4;base64,{MP4}"},
        "videos",
        "video/mp4",
        3012,
    ),
    (
        "newapi",
        {
            "code": "success",
            "data": {"task_id": OP, "status": "SUCCESS", "fail_reason": f"data:video/mp4;base64,{MP4}"},
        },
        "videos",
        "video/mp4",
        3012,
    ),
    (
        "kling",
        {"code": 0, "data": {"task_id": OP, "task_status": "succeed", "task_result": {"images": [{"b64": PNG}]}}},
        "images",
        "image/png",
        PNG_BYTES,
    ),
]


@pytest.mark.parametrize(("provider", "body", "kind", "media_type", "size"), FILES)
def test_a_file_within_the_answer_is_named_and_measured_and_not_kept(
    provider: str, body: Json, kind: str, media_type: str, size: int
) -> None:
    reading = reading_of(body, provider=provider, task_id=OP, action=None)

    assert reading.kind is Kind.SUCCEEDED, reading
    seen = reading.snapshot or Snapshot()
    (item,) = seen.result[kind]
    assert (item["embedded"], item["media_type"], item["bytes"]) == (True, media_type, size)
    assert (seen.urls, seen.refused, seen.message) == ((), (), "")
    assert len(orjson.dumps(seen.result)) < 300
    assert media_type in reading.detail


def test_a_file_in_an_item_with_a_url_is_replaced() -> None:
    reading = reading_of(kling(task_result={"videos": [{"url": A, "cover": PNG, "meta": {"first_frame": [MP4]}}]}))

    assert reading.snapshot is not None
    (item,) = reading.snapshot.result["videos"]
    assert item["cover"] == {"embedded": True, "media_type": "image/png", "bytes": PNG_BYTES}
    assert item["meta"]["first_frame"][0]["media_type"] == "video/mp4"
    assert reading.snapshot.urls == (A,)


@pytest.mark.parametrize(
    "text", ["a poem", "x" * 60, "x" * 5000, "word " * 900, "https://cdn.example.com/" + "a" * 2000]
)
def test_words_and_addresses_are_no_files(text: str) -> None:
    seen = reading_of({"id": OP, "status": "succeeded", "output": text}, provider="replicate", task_id=OP).snapshot

    assert seen is not None
    assert not any(item.get("embedded") for items in seen.result.values() for item in items)


ROUTES: list[tuple[int, Json]] = [
    (404, {"error": {"message": "Invalid URL (GET /v1/v1/videos/T)", "type": "invalid_request_error"}}),
    (404, {"message": "Cannot GET /v1/v1/videos/T", "error": "Not Found", "statusCode": 404}),
    (404, {"detail": "Not Found"}),
    (404, {"message": "no Route matched with those values", "request_id": "9"}),
    (404, {"timestamp": "2026-01-01", "status": 404, "error": "Not Found", "path": "/v1/v1/videos/T"}),
    (404, {"status": 404, "error": "Not Found", "message": "No static resource v1/v1/videos/T."}),
    (404, {"message": "Route GET:/v1/v1/videos/T not found", "error": "Not Found", "statusCode": 404}),
    (404, {"error": "no such route"}),
    (404, {"error": {"message": "Unrecognized request URL (GET: /v1/v1/videos/T)"}}),
    (404, {"code": 404, "message": "请求的接口不存在"}),
    (404, {"error": {"code": 404, "message": "Method not found.", "status": "NOT_FOUND"}}),
    (404, {"message": "The requested URL was not found on the server."}),
    (404, "404 page not found"),
    (404, b"404 page not found"),
    (404, b"<html><head><title>404 Not Found</title></head><body><center>nginx</center></body></html>"),
    (404, b"<!DOCTYPE html><pre>Cannot GET /v1/v1/videos/T</pre>"),
    (405, {"detail": "Method Not Allowed"}),
    (405, {"error": {"message": "Invalid method for URL"}}),
    (405, b""),
]


@pytest.mark.parametrize(("status", "body"), ROUTES)
def test_a_404_or_405_about_the_address_says_nothing_about_the_task(status: int, body: Json) -> None:
    for provider in ("openai_video", "kling", "replicate", "ark"):
        reading = reading_of(body, provider=provider, status=status, task_id="T", action=None)

        assert (reading.kind, reading.unread) == (Kind.NO_ROUTE, "unknown_route"), reading


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Video with id 'video_x' not found."}},
        {"error": "Task not found"},
        {"error": {"code": "ResourceNotFound", "message": "The requested resource was not found."}},
        {"title": "Not found", "detail": "The requested resource could not be found."},
        {"error": "Not Found", "message": "task T does not exist", "path": "/v1/videos/T"},
        {"message": "task not found: GET /v1/videos/T"},
        {"detail": "Generation not found"},
        {"code": "task_not_exist"},
        {"error": {"code": 404, "message": "Requested entity was not found."}},
        {"message": "任务不存在"},
        {},
        {"error": "not found"},
        {"error": "Not Found"},
        {"message": "Not Found"},
        {"detail": "Not found."},
        {"code": 404, "msg": "not found"},
        {"code": 404, "msg": "资源不存在"},
        {"error": {"message": "Not Found", "type": "invalid_request_error"}},
        {"statusCode": 404, "message": "Not Found"},
        {"error": "model not found"},
        {"detail": "Resource not found"},
        b"task T not found",
    ],
)
def test_a_404_about_the_task_is_not_found(body: Json) -> None:
    assert reading_of(body, provider="openai_video", status=404, task_id="T").kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    ("body", "is_vague"),
    [
        ({"detail": "Not Found"}, True),
        ({"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v1/videos/T"}, True),
        (b"Not Found", True),
        (b"", True),
        ({"message": "Not Found"}, True),
        ({"error": "Task not found"}, False),
        ({"message": "Cannot GET /v1/v1/videos/T"}, False),
        (b"<html>404 Not Found</html>", False),
    ],
)
def test_a_404_that_may_be_about_the_task_or_the_address_is_marked(body: Json, is_vague: bool) -> None:
    assert reading_of(body, provider="openai_video", status=404, task_id="T").is_vague is is_vague


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (200, {"task": {"state": "ok"}, "ts": 1}, "keys task ts"),
        (200, {"k" * 80: 1}, "keys " + "k" * 58 + "…"),
        (200, [1, 2], "(no keys)"),
        (200, {"code": 77, "message": "odd"}, "code 77"),
        (200, b"<!doctype html><html></html>", "web_page"),
        (302, b"", "redirect"),
        (200, {"id": "another", "status": "succeeded"}, ""),
        (502, b"<html></html>", ""),
        (200, b"", ""),
    ],
)
def test_an_answer_in_an_unknown_form_gets_a_word_for_the_event(status: int, body: Json, word: str) -> None:
    reading = reading_of(body, provider="openai_video", status=status, task_id="T")

    assert reading.unread == word, reading
    assert reading.kind in {Kind.AMBIGUOUS, Kind.TRANSIENT}


@pytest.mark.parametrize("status", [409, 425])
def test_409_and_425_are_transient(status: int) -> None:
    for body in ({"error": {"message": "task is not completed yet"}}, b"", b"<html></html>"):
        assert reading_of(body, provider="openai_video", status=status, task_id="T").kind is Kind.PENDING


def test_a_number_keeps_its_sign_and_a_code_its_hyphens() -> None:
    tree = {
        "title": "t",
        "ask": {"path": "/{id}"},
        "codes": {"at": "code", "good": ["a-b"], "means": {"failed": ["ab"], "pending": [1], "running": ["-1"]}},
        "forms": {
            "job": {
                "task": "@",
                "id": "id",
                "status": "status",
                "words": {"failed": ["-1"], "running": [1]},
                "results": [{"videos": "url"}],
            }
        },
    }
    own = load_descriptions({"own": tree})["own"]
    asked = PollContext(task_id="T", action=None, own_host="x")
    for body, kind in (
        ({"id": "T", "status": -1}, Kind.FAILED),
        ({"id": "T", "status": "1"}, Kind.RUNNING),
        ({"id": "T", "status": 1, "code": "a-b"}, Kind.RUNNING),
        ({"id": "T", "code": "AB"}, Kind.FAILED),
        ({"id": "T", "code": 1}, Kind.PENDING),
        ({"id": "T", "code": -1}, Kind.RUNNING),
    ):
        assert read(own, answered(orjson.dumps(body)), asked).kind is kind, body


def test_a_code_may_mean_any_kind_and_a_success_still_needs_its_result() -> None:
    tree = {
        "title": "t",
        "ask": {"path": "/{id}"},
        "codes": {"at": "code", "good": [0], "means": {"succeeded": [7], "canceled": [8], "needs_input": [9]}},
        "forms": {
            "job": {
                "task": "@",
                "id": "id",
                "status": "status",
                "words": {"succeeded": ["ok"]},
                "results": [{"videos": "url"}],
            }
        },
    }
    own = load_descriptions({"own": tree})["own"]
    asked = PollContext(task_id="T", action=None, own_host="x")
    for status, body, kind in (
        (200, {"id": "T", "code": 7, "status": "ok", "url": A}, Kind.SUCCEEDED),
        (200, {"id": "T", "code": 7, "status": "ok"}, Kind.AMBIGUOUS),
        (400, {"id": "T", "code": 7, "status": "ok", "url": A}, Kind.BAD_REQUEST),
        (400, {"id": "T", "code": 8}, Kind.CANCELED),
        (200, {"id": "T", "code": 9}, Kind.NEEDS_INPUT),
    ):
        assert read(own, answered(orjson.dumps(body), status=status), asked).kind is kind, body


def test_an_unknown_word_and_a_body_over_the_limit_are_reported_as_unreadable() -> None:
    word = reading_of({"id": "T", "status": "moderating " + "x" * 99}, provider="openai_video", task_id="T")
    big = answered(b"x")._replace(complete=False, trouble="body over 1048576 bytes", is_over_cap=True)
    too_large = read(load_descriptions({})["veo"], big, PollContext(task_id="T", action=None, own_host="x"))

    assert (word.kind, word.unread[:10], len(word.unread)) == (Kind.AMBIGUOUS, "moderating", 64)
    assert (too_large.kind, too_large.unread) == (Kind.AMBIGUOUS, "too_large")
    assert "providers.veo.most_bytes" in too_large.detail
