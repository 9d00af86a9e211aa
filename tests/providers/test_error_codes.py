"""What a provider's codes mean, and which of them a reason shows."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bridge.domain.task import Json, ReadingKind
from bridge.providers.catalogue import BUILT_IN, load_descriptions
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from tests.providers.reading_of import OP, answered, reading_of

A = "https://cdn.example.com/a.mp4"
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
        (422, b'{"detail":[{"loc":["body"],"msg":"at most 2500 characters","type":"x"}]}', ReadingKind.FAILED),
        (422, b'{"detail":"content policy"}', ReadingKind.FAILED),
        (422, b"<html></html>", ReadingKind.TRANSIENT),
        (400, b'{"detail":"Request is still in progress"}', ReadingKind.RUNNING),
        (400, b'{"detail":"something else"}', ReadingKind.BAD_REQUEST),
        (400, b'{"id":"T"}', ReadingKind.AMBIGUOUS),
        (501, b'{"detail":"not implemented"}', ReadingKind.AMBIGUOUS),
        (404, b'{"detail":"no such file"}', ReadingKind.AMBIGUOUS),
        (409, b'{"detail":"not yet"}', ReadingKind.PENDING),
        (425, b"", ReadingKind.PENDING),
        (429, b"", ReadingKind.RATE_LIMITED),
        (500, b'{"detail":"oops"}', ReadingKind.TRANSIENT),
        (503, b"", ReadingKind.TRANSIENT),
        (200, b'{"video":{"url":"https://cdn.example.com/a.mp4"}}', ReadingKind.SUCCEEDED),
    ],
)
def test_a_permanent_refusal_of_the_second_request_fails_the_task(status: int, body: bytes, kind: ReadingKind) -> None:
    first = answered(b'{"request_id":"T","status":"COMPLETED"}')
    asked = PollContext(task_id="T", action=None, base_url="https://queue.example.com")
    reading = read(load_descriptions(OWN)["own"], first, asked, second=answered(body, status=status))

    assert reading.kind is kind, reading
    assert kind is not ReadingKind.FAILED or "2500" in reading.detail or "content policy" in reading.detail
    assert kind is not ReadingKind.BAD_REQUEST or reading.detail == "something else"


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
    assert (reading.kind in {ReadingKind.FAILED, ReadingKind.BAD_REQUEST}, reading.snapshot.error_code) == (True, code)
    assert reading.detail == reason


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize(
    ("provider", "body", "kind"),
    [
        *(
            ("minimax", {"base_resp": {"status_code": code, "status_msg": "x"}}, ReadingKind.ACCOUNT_ERROR)
            for code in (1008, 1028, 1030, 2056, "2056", 2061)
        ),
        ("minimax", {"base_resp": {"status_code": 2045, "status_msg": "x"}}, ReadingKind.RATE_LIMITED),
        ("minimax", {"base_resp": {"status_code": 1024, "status_msg": "x"}}, ReadingKind.TRANSIENT),
        *(
            ("zhipu", {"error": {"code": str(code), "message": "x"}}, ReadingKind.ACCOUNT_ERROR)
            for code in (1113, 1220, 1304, *range(1308, 1312), *range(1313, 1322))
        ),
        *(("zhipu", {"error": {"code": code}}, ReadingKind.RATE_LIMITED) for code in (1302, "1303", "1305", "1312")),
        ("zhipu", {"error": {"code": "1120", "message": "x"}}, ReadingKind.TRANSIENT),
        ("kie", {"code": 433, "msg": "x", "data": None}, ReadingKind.ACCOUNT_ERROR),
        ("kie_suno", {"code": 405, "msg": "x", "data": None}, ReadingKind.RATE_LIMITED),
        *(
            ("dashscope", {"code": code, "message": "x"}, ReadingKind.ACCOUNT_ERROR)
            for code in ("PostpaidBillOverdue", "CommodityNotPurchased", "AllocationQuota.FreeTierOnly")
        ),
    ],
)
def test_the_limit_of_a_plan_is_not_a_rate_limit(provider: str, status: int, body: Json, kind: ReadingKind) -> None:
    assert reading_of(body, provider=provider, status=status, task_id="T", action=None).kind is kind


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (401, "无效的token", ReadingKind.AUTH_ERROR),
        ("402", "payment required", ReadingKind.ACCOUNT_ERROR),
        (404, "task not found", ReadingKind.NOT_FOUND),
        (404, "Invalid URL", ReadingKind.NO_ROUTE),
        ("429", "too many requests", ReadingKind.RATE_LIMITED),
        (429, "余额不足", ReadingKind.ACCOUNT_ERROR),
        (400, "operation failed", ReadingKind.AMBIGUOUS),
        (503, "maintenance", ReadingKind.TRANSIENT),
        (600, "odd", ReadingKind.AMBIGUOUS),
        (-404, "odd", ReadingKind.AMBIGUOUS),
    ],
)
def test_an_unknown_code_that_is_an_http_status_means_that(code: Json, message: str, kind: ReadingKind) -> None:
    for provider in ("newapi", "kling", "luma", "minimax"):
        reading = reading_of({"code": code, "message": message, "data": None}, provider=provider)
        assert (reading.kind, reading.detail) == (kind, f"HTTP 200: code {code}: {message}"), provider
        assert not reading.server_trouble  # the host answered well, so other tasks are not held up


@pytest.mark.parametrize("inner", [{"error": {"message": "moderated"}}, {"fail_reason": "moderated"}])
def test_the_reason_of_a_failure_may_be_in_the_answer_inside(inner: Json) -> None:
    task = {"task_id": "T", "status": "FAILURE", "fail_reason": "", "data": inner}

    assert reading_of({"code": "success", "data": task}, provider="newapi", task_id="T").detail == "moderated"


def test_minimax_may_be_wrapped_with_a_number_or_its_text() -> None:
    failed = {"task_id": "T", "status": "Fail", "base_resp": {"status_code": 1026, "status_msg": "sensitive"}}
    for code in (0, 200, "200", "success"):
        reading = reading_of({"code": code, "message": "ok", "data": failed}, provider="minimax", task_id="T")
        assert (reading.kind, reading.detail) == (ReadingKind.FAILED, "sensitive"), code


def test_a_failed_task_beside_an_error_code_is_not_a_refusal() -> None:
    body = {"task_id": "T", "status": "failed", "url": "", "error": {"code": 3, "message": "moderated"}}
    reading = reading_of(body, provider="zhipu", task_id="T", action=None)

    assert (reading.kind, reading.detail) == (ReadingKind.FAILED, "moderated (3)")


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
    asked = PollContext(task_id="T", action=None, base_url="https://x")
    for body, kind in (
        ({"id": "T", "status": -1}, ReadingKind.FAILED),
        ({"id": "T", "status": "1"}, ReadingKind.RUNNING),
        ({"id": "T", "status": 1, "code": "a-b"}, ReadingKind.RUNNING),
        ({"id": "T", "code": "AB"}, ReadingKind.FAILED),
        ({"id": "T", "code": 1}, ReadingKind.PENDING),
        ({"id": "T", "code": -1}, ReadingKind.RUNNING),
    ):
        assert read(own, answered(orjson.dumps(body)), asked).kind is kind, body


def test_a_code_may_mean_any_kind_but_success_needs_a_result() -> None:
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
    asked = PollContext(task_id="T", action=None, base_url="https://x")
    for status, body, kind in (
        (200, {"id": "T", "code": 7, "status": "ok", "url": A}, ReadingKind.SUCCEEDED),
        (200, {"id": "T", "code": 7, "status": "ok"}, ReadingKind.AMBIGUOUS),
        (400, {"id": "T", "code": 7, "status": "ok", "url": A}, ReadingKind.BAD_REQUEST),
        (400, {"id": "T", "code": 8}, ReadingKind.CANCELED),
        (200, {"id": "T", "code": 9}, ReadingKind.NEEDS_INPUT),
    ):
        assert read(own, answered(orjson.dumps(body), status=status), asked).kind is kind, body


def test_every_vendors_rate_limit_is_recognized() -> None:
    recorded = orjson.loads((Path(__file__).parents[1] / "data/rate_limited.json").read_bytes())
    assert recorded.keys() == BUILT_IN.keys()
    for name, body in recorded.items():
        status = 200 if name in {"kie", "kie_suno", "minimax"} else 429
        assert reading_of(body, provider=name, status=status).kind is ReadingKind.RATE_LIMITED, name
