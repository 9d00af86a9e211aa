"""What the answers of group robots' services mean."""

from __future__ import annotations

from typing import Final

import pytest

from bridge.domain.delivery import Accepted, Deferred, Refused
from bridge.encoding import encode
from bridge.net.client import Answer
from bridge.sinks.answers import AcceptRule
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.judging import judge
from tests.sinks.posting import deliver, robot_at
from tests.sinks.receivers import HANG, answer, http_receiver
from tests.sinks.robot_answers import outcome_of, said, sent, taken

REFUSALS: Final = [
    (
        "feishu",
        said({"code": 19021, "msg": "sign match fail or timestamp is not within one hour from current time"}),
        "code 19021: sign match fail or timestamp is not within one hour from current time; check secret and the clock",
    ),
    ("feishu", said({"code": 19024, "msg": "Key Words Not Found"}), "code 19024: Key Words Not Found; put one of"),
    (
        "feishu",
        said({"code": 19022, "msg": "Ip Not Allowed"}),
        "code 19022: Ip Not Allowed; add this machine's address",
    ),
    ("feishu", said({"code": 9499, "msg": "Bad Request", "data": {}}), "code 9499: Bad Request"),
    ("feishu", said({"StatusCode": 19001, "StatusMessage": "param invalid"}), "code 19001: param invalid"),
    ("feishu", said({}), "{}"),
    ("feishu", answer(200, b'\xef\xbb\xbf{"code":19022,"msg":"Ip Not Allowed"}'), "code 19022"),
    ("feishu", said(None), "null"),
    ("dingtalk", said({"errcode": 310000, "errmsg": "sign not match"}), "code 310000: sign not match; check secret"),
    ("dingtalk", said({"errcode": 310000, "errmsg": "keywords not in content"}), "put one of the robot's keywords"),
    (
        "dingtalk",
        said({"errcode": 300001, "errmsg": "token is not exist"}),
        "code 300001: token is not exist; check url",
    ),
    ("dingtalk", said({"errcode": "400013", "errmsg": "group is disbanded"}), "code 400013: group is disbanded"),
    ("wecom", said({"errcode": 93000, "errmsg": "invalid webhook url"}), "code 93000: invalid webhook url; check url"),
    ("wecom", said({"errcode": -1, "errmsg": "system busy"}), "code -1: system busy"),
    ("wecom", said([1]), "[1]"),
    ("slack", answer(200, b"no_text"), "no_text"),
    ("slack", said({"ok": False, "error": "channel_not_found"}), "channel_not_found"),
    ("discord", said({"message": "Unknown Webhook", "code": 10015}), "code 10015: Unknown Webhook; check url"),
    ("telegram", said({"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}), "check chat_id"),
    ("telegram", said({"ok": False}), '{"ok": false}'),
]


@pytest.mark.parametrize(("form", "answered", "words"), REFUSALS)
async def test_a_refusal_with_http_200_is_not_accepted_and_quotes_the_service(
    form: str, answered: bytes, words: str
) -> None:
    outcome = await outcome_of(form, answered)
    assert isinstance(outcome, Deferred), outcome
    assert outcome.reason.startswith("HTTP 200, but refused: ")
    assert words in outcome.reason
    assert outcome.retry_after_s is None


LIMITED: Final = {"message": "You are being rate limited.", "global": False}
FLOOD: Final = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 34"}
WAITS: Final = [
    ("feishu", said({"code": 11232, "msg": "frequency limited"}), 10.0),
    ("feishu", said({"code": 9499, "msg": "too many request"}), 10.0),
    ("feishu", said({"code": 99991400, "msg": "limited"}, status=400, x_ogw_ratelimit_reset="52"), 52.0),
    ("dingtalk", said({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}), 60.0),
    ("dingtalk", said({"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}), 5.0),
    ("wecom", said({"errcode": 45009, "errmsg": "api freq out of limit"}), 60.0),
    ("slack", answer(429, b"", retry_after="30"), 30.0),
    ("discord", said({**LIMITED, "retry_after": 0.65}, status=429), 0.65),
    ("discord", said({**LIMITED, "retry_after": 1.5}, status=429, retry_after="2"), 2.0),
    ("discord", answer(429, b"<html>", x_ratelimit_reset_after="3.25"), 3.25),
    ("telegram", said({**FLOOD, "parameters": {"retry_after": 34}}, status=429), 34.0),
    ("telegram", said({**FLOOD, "parameters": {"retry_after": 7}}), 7.0),
]


@pytest.mark.parametrize(("form", "answered", "wait_s"), WAITS)
async def test_a_retry_time_from_a_service_holds_its_queue(form: str, answered: bytes, wait_s: float) -> None:
    outcome = await outcome_of(form, answered)
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after_s, outcome.delays_queue) == (wait_s, True)


async def test_a_dingtalk_limit_that_lasts_holds_the_queue_for_ten_minutes() -> None:
    limited = said({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"})
    async with http_receiver(limited, limited, taken("dingtalk"), limited) as receiver:
        async with robot_at(receiver.url, "dingtalk") as sink:
            outcomes = [await deliver(sink) for _ in range(4)]
    waits = [outcome.retry_after_s if isinstance(outcome, Deferred) else None for outcome in outcomes]
    assert waits == [60.0, 600.0, None, 60.0]


async def test_rate_limit_headers_of_a_good_answer_cause_no_wait() -> None:
    outcome = await outcome_of("discord", answer(204, x_ratelimit_reset_after="1.2", x_ratelimit_remaining="0"))
    assert isinstance(outcome, Accepted)


@pytest.mark.parametrize("form", ["feishu", "dingtalk", "wecom", "telegram", "slack"])
@pytest.mark.parametrize(
    ("answered", "doubt"),
    [
        (answer(200, b"<html>login</html>"), "the response is not JSON"),
        (answer(200), "the response is not JSON"),
        (answer(200, b'{"code": 1' + b" " * 70_000), "the response is over 64 KiB"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\n{", "the response is incomplete"),
    ],
)
async def test_an_answer_that_cannot_be_checked_is_accepted_with_a_warning(
    form: str, answered: bytes, doubt: str
) -> None:
    outcome = await outcome_of(form, answered)
    assert isinstance(outcome, Accepted)
    assert outcome.doubt.startswith(doubt)


def test_a_warning_quotes_the_start_of_an_answer_on_one_line() -> None:
    rule = AcceptRule("abs(code) > `0`", where="endpoints.team.accept")
    body = encode({"code": "\x1b[2J" + "x" * 60_000})
    answered = Answer(status=200, headers={}, body=body, complete=True, trouble="", is_over_cap=False)
    outcome = judge(answered, rule(answered), asked="https://hooks.example.com")
    assert isinstance(outcome, Accepted)
    assert outcome.doubt.isprintable()
    assert len(outcome.doubt) == 200


async def test_a_message_in_discords_answer_means_accepted() -> None:
    assert await outcome_of("discord", said({"id": "123", "content": "x"})) == Accepted(detail="HTTP 200")


@pytest.mark.parametrize("form", ROBOTS)
async def test_other_statuses_mean_the_same_as_for_webhooks(form: str) -> None:
    assert isinstance(await outcome_of(form, answer(410, b"gone")), Refused)
    outcome = await outcome_of(form, answer(500, b"oops"))
    assert outcome == Deferred(reason="HTTP 500 Internal Server Error: oops")
    moved = await outcome_of(form, answer(302, location="https://elsewhere.example"))
    assert isinstance(moved, Deferred)
    assert "redirects are not followed" in moved.reason


@pytest.mark.parametrize("form", ["discord", "telegram", "feishu"])
async def test_the_reason_of_an_error_status_quotes_the_service(form: str) -> None:
    body = {"message": "Unknown Webhook", "code": 10015}
    if form == "telegram":
        body = {"description": "Forbidden: bot was kicked from the group chat", "error_code": 403, "ok": False}
    outcome = await outcome_of(form, said(body, status=403))
    assert isinstance(outcome, Deferred)
    words = "bot was kicked from the group chat" if form == "telegram" else "code 10015: "
    assert outcome.reason.startswith(f"HTTP 403 Forbidden: {words}")


NGINX: Final = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center>nginx</center></body></html>"
CLOUDFLARE: Final = b"<!DOCTYPE html>\n<html lang='en'><head>\n<title>a.example | 502: Bad &amp; gateway</title>"


@pytest.mark.parametrize("form", ["feishu", "slack", "discord"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (NGINX, ""),
        (CLOUDFLARE, ': a web page with the title "a.example | 502: Bad & gateway"'),
        (b"<body>", ": a web page"),
        (b'{"error": "", "detail": "no such hook"}', ": no such hook"),
        (b'{"status": 0, "errors": ["application token is invalid"]}', ": application token is invalid"),
        (b'{"status": 0, "errors": [{"message": "not today"}, {}]}', ": not today"),
        (b'{"errors": []}', ': {"errors": []}'),
    ],
)
async def test_a_reason_has_the_message_of_an_answer_in_another_form(form: str, body: bytes, words: str) -> None:
    assert await outcome_of(form, answer(502, body)) == Deferred(reason=f"HTTP 502 Bad Gateway{words}")


async def test_a_new_supergroup_gets_the_messages_and_its_id_is_named() -> None:
    moved = said(
        {
            "ok": False,
            "error_code": 400,
            "description": "Bad Request: group chat was upgraded to a supergroup chat",
            "parameters": {"migrate_to_chat_id": -1001234567890},
        },
        status=400,
    )
    async with http_receiver(moved, taken("telegram")) as receiver, robot_at(receiver.url, "telegram") as sink:
        first = await deliver(sink)
        second = await deliver(sink)
    assert [message["chat_id"] for message in sent(receiver)] == [-42, -1001234567890, -1001234567890]
    assert isinstance(first, Accepted)
    assert "write chat_id: -1001234567890 into the settings" in first.detail
    assert second == Accepted(detail="HTTP 200")


async def test_a_chat_that_names_itself_as_its_new_id_is_not_followed() -> None:
    moved = said({"ok": False, "description": "moved", "parameters": {"migrate_to_chat_id": -7}}, status=400)
    async with http_receiver(moved) as receiver, robot_at(receiver.url, "telegram") as sink:
        assert isinstance(await deliver(sink), Deferred)
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("answer", "timeout_s", "reason"),
    [
        (HANG, 0.2, "in time"),
        (b"HTTP/1.1 200 OK\r\nconnection: close", 10.0, "before it had answered"),
        (b"connection: close", 10.0, "not HTTP"),
    ],
    ids=["time-out", "closed within the answer", "not HTTP"],
)
async def test_a_message_that_may_have_arrived_is_not_repeated_soon(
    answer: bytes, timeout_s: float, reason: str
) -> None:
    async with http_receiver(answer) as receiver, robot_at(receiver.url, "feishu", timeout_s=timeout_s) as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert reason in outcome.reason
    assert outcome.is_unanswered


async def test_a_message_that_was_never_sent_is_retried_by_the_plan() -> None:
    async with http_receiver() as receiver:
        url = receiver.url
    async with robot_at(url, "feishu") as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert not outcome.is_unanswered
