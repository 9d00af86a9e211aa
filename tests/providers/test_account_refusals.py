"""Which refusals are about the account: no credit, a plan that is used up, a wrong key; and which are not."""

from __future__ import annotations

import pytest

from bridge.domain.task import Json, ReadingKind
from tests.providers.reading_of import reading_of


def test_a_blocked_account_is_no_rate_limit_despite_429_and_a_hint() -> None:
    reading = reading_of({"code": 1102, "message": "used up"}, status=429, headers={"retry-after": "5"})

    assert (reading.kind, reading.retry_after_s) == (ReadingKind.ACCOUNT_ERROR, None)
    assert reading.detail == "HTTP 429: code 1102: used up"


@pytest.mark.parametrize(
    ("provider", "status", "body"),
    [
        (
            "openai_video",
            429,
            {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": None}},
        ),
        ("openai_video", 429, {"error": {"type": "insufficient_quota", "code": "credit_balance_exhausted"}}),
        ("openai_video", 429, {"error": {"code": "project_spend_limit_exceeded", "message": "limit reached"}}),
        ("openai_video", 403, {"error": {"code": "insufficient_user_quota", "message": "user quota is not enough"}}),
        ("newapi", 429, {"code": "insufficient_user_quota", "message": "user quota is not enough", "data": None}),
        ("newapi", 429, {"code": "fail_to_fetch_task", "message": "余额不足", "data": None}),
        ("newapi", 401, {"error": {"code": "", "type": "new_api_error", "message": "该令牌额度已用尽"}}),
        (
            "xai",
            429,
            {"error": "Your team has either used all available credits or reached its monthly spending limit."},
        ),
        ("veo", 429, {"error": {"code": 429, "message": "Your prepayment credits are depleted."}}),
        ("fal", 403, {"detail": "User is locked. Reason: Exhausted balance."}),
        ("replicate", 402, {"title": "Insufficient credit", "detail": "You have insufficient credit", "status": 402}),
        ("veo", 429, [{"error": {"message": "Insufficient balance"}}]),
        ("luma", 400, {"detail": "Insufficient credits"}),
        ("openai_video", 400, {"error": {"code": "billing_hard_limit_reached", "message": "Billing hard limit"}}),
        ("midjourney", 400, {"code": 4, "description": "quota_not_enough", "type": "upstream_error"}),
        ("runway", 404, {"error": "You do not have enough credits to run this task."}),
        ("heygen", 200, {"code": 400118, "message": "Quota not enough", "data": None}),
        ("kie_suno", 200, {"code": 429, "msg": "The current credits are insufficient. Please top up.", "data": None}),
        ("newapi", 400, "Insufficient balance"),
        ("newapi", 200, {"code": -1, "msg": "apikey credits not enough", "data": None}),
        ("newapi", 200, {"code": 500, "msg": "余额不足"}),
        ("kling", 200, {"error": {"message": "该令牌额度已用尽", "type": "new_api_error"}}),
        ("midjourney", 200, {"success": False, "message": "Insufficient balance", "request_id": "r"}),
    ],
)
def test_lack_of_credit_concerns_the_account_with_any_http_status(provider: str, status: int, body: Json) -> None:
    reading = reading_of(body, provider=provider, status=status, headers={"retry-after": "5"})

    assert (reading.kind, reading.retry_after_s) == (ReadingKind.ACCOUNT_ERROR, None)


@pytest.mark.parametrize(
    "message",
    [
        "usage limit exceeded, 5-hour usage limit reached for Token Plan (0/0 used), resets at 2026-05-15T15:00:00Z",
        "Usage limit reached for 5 hour. Your limit will reset at 2026-09-09 05:38:28",
        "Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-09-09 05:38:28",
        "You have exceeded the 5-hour usage quota. It will reset at 2026-03-01 12:00:00 +0800 CST.",
        "已达到 5 小时的使用上限。您的限额将在 2026-08-25 07:41:44 重置。",
        "Your GLM Coding Plan package has expired and is temporarily unavailable.",
        "您的套餐已到期,暂无法使用",
    ],
)
@pytest.mark.parametrize("provider", ["minimax", "zhipu", "ark", "newapi"])
def test_a_plan_that_is_used_up_blocks_the_account(provider: str, message: str) -> None:
    for body in ({"error": {"type": "rate_limit_error", "message": message}}, {"message": message}):
        assert reading_of(body, provider=provider, status=429).kind is ReadingKind.ACCOUNT_ERROR


@pytest.mark.parametrize("status", [200, 400, 404, 429])
@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("veo", {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}),
        ("veo", {"error": {"code": 400, "message": "API key expired. Please renew the API key."}}),
        ("xai", {"code": "invalid argument", "error": "Incorrect API key provided: xa***."}),
        ("newapi", {"error": {"code": "", "message": "无效的令牌", "type": "new_api_error"}}),
        ("newapi", {"code": -1, "msg": "apikey error", "data": None}),
    ],
)
def test_a_wrong_key_blocks_the_account_with_any_http_status(provider: str, status: int, body: Json) -> None:
    assert reading_of(body, provider=provider, status=status).kind is ReadingKind.AUTH_ERROR


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai_video", {"error": {"code": "rate_limit_exceeded", "type": "requests", "message": "try again in 2s"}}),
        ("openai_video", {"error": {"code": "rate_limit_exceeded", "message": "requests per min (RPM): Limit 5"}}),
        ("newapi", {"error": {"message": "请求过于频繁,请稍后再试"}}),
        ("newapi", {"error": {"message": "Rate limit exceeded. Your limit will reset at 12:00:05."}}),
        ("veo", {"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}}),
        ("dashscope", {"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded"}),
        ("replicate", {"detail": "Request was throttled. Your rate limit resets in ~30s."}),
    ],
)
def test_a_quota_that_returns_by_itself_is_a_rate_limit(provider: str, body: Json) -> None:
    assert reading_of(body, provider=provider, status=429).kind is ReadingKind.RATE_LIMITED


@pytest.mark.parametrize(
    "text", ["Too Many Requests", "Rate limit exceeded, retry in 7s", "您的请求过于频繁", "rate_limit_exceeded"]
)
def test_too_many_requests_slow_the_account_down_with_other_statuses(text: str) -> None:
    for status, body in (
        (200, {"code": -5, "msg": text}),
        (200, {"code": 500, "message": text, "data": None}),
        (200, {"error": {"message": text}}),
        (400, {"error": {"code": text}}),
    ):
        assert reading_of(body, provider="openai_video", status=status).kind is ReadingKind.RATE_LIMITED, body


@pytest.mark.parametrize(
    "body",
    [
        {"uuid": "u", "state": "error", "error": "Insufficient balance"},
        {"data": {"id": "u", "phase": "failed", "message": "task not found"}},
        {"id": "u", "status": "failed", "error": "Insufficient balance"},
    ],
)
def test_the_text_of_another_task_says_nothing_about_the_account(body: Json) -> None:
    for provider in ("newapi", "midjourney", "replicate"):
        assert reading_of(body, provider=provider, task_id="T").kind is ReadingKind.AMBIGUOUS
