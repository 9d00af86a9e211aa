"""Group robots of chat services, each played by a real server: what they get, and what their answers mean."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.domain.delivery import Accepted, Deferred, Outcome, Refused, Undeliverable
from bridge.domain.event import Topic
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.payloads import PAYLOADS
from tests.fakes import START, FakeClock
from tests.sinks.posting import deliver, robot_at
from tests.sinks.reading import text_of
from tests.sinks.receivers import HANG, HttpReceiver, answer, http_receiver
from tests.sinks.samples import FAILED, SUCCEEDED, TASK_ID, URL, as_delivery, every_sample, task_sample

SECRET: Final = "SEC-f0e1d2c3"
OK: Final[Mapping[str, bytes]] = {
    "feishu": b'{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}',
    "dingtalk": b'{"errcode":0,"errmsg":"ok"}',
    "wecom": b'{"errcode":0,"errmsg":"ok"}',
    "slack": b"ok",
    "discord": b"",
    "telegram": b'{"ok":true,"result":{"message_id":7}}',
}


def taken(form: str) -> bytes:
    """How the service says that it took a message."""
    return answer(204 if form == "discord" else 200, OK[form])


def said(body: object, *, status: int = 200, **headers: str) -> bytes:
    return answer(status, json.dumps(body).encode(), **headers)


def sent(receiver: HttpReceiver) -> list[dict[str, Any]]:
    """The JSON bodies that came in."""
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def target(request: bytes) -> str:
    return request.split(b" ", 2)[1].decode()


async def outcome_of(form: str, *answers: bytes, secret: str | None = None) -> Outcome:
    async with http_receiver(*answers) as receiver, robot_at(receiver.url, form, secret=secret) as sink:
        return await deliver(sink)


@pytest.mark.parametrize("form", ROBOTS)
async def test_a_success_is_one_text_with_the_name_first_and_the_result_second(form: str) -> None:
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form) as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Accepted)
    assert outcome.doubt == ""
    [message] = sent(receiver)
    assert text_of(form, message).splitlines() == ["🎬 trailer, take 3", URL, "5 s · kling · took 2 min 4 s"]


async def test_each_service_gets_the_body_that_it_documents() -> None:
    text = "t\nb"
    expected: dict[str, object] = {
        "feishu": {"msg_type": "text", "content": {"text": text}},
        "dingtalk": {"msgtype": "text", "text": {"content": text}},
        "wecom": {"msgtype": "text", "text": {"content": text}},
        "slack": {"text": text, "mrkdwn": False},
        "discord": {"content": text, "allowed_mentions": {"parse": []}},
        "telegram": {"chat_id": -42, "text": text, "link_preview_options": {"is_disabled": True}},
    }
    for form, body in expected.items():
        async with http_receiver(taken(form)) as receiver:
            async with robot_at(receiver.url, form, title="t", body="b") as sink:
                assert isinstance(await deliver(sink), Accepted)
        assert sent(receiver) == [body]
        assert b"content-type: application/json" in receiver.requests[0].lower()


async def test_slack_gets_its_three_characters_escaped() -> None:
    async with http_receiver(taken("slack")) as receiver:
        async with robot_at(receiver.url, "slack", title="a", body="{{ urls[0] }} & <") as sink:
            await deliver(sink)
    assert sent(receiver)[0]["text"] == f"a\n{URL.replace('&', '&amp;')} &amp; &lt;"


@pytest.mark.parametrize(("chat_id", "shown"), [("-1001234567890", -1001234567890), ("@news", "@news")])
async def test_telegram_gets_the_chat_and_its_topic(chat_id: str, shown: object) -> None:
    chat = Chat(chat_id=chat_id, thread_id="5")
    for path in ("/bot1:a", "/bot1:a/", "/bot1:a/sendMessage"):
        async with http_receiver(taken("telegram")) as receiver:
            async with robot_at(f"http://127.0.0.1:{receiver.port}{path}", "telegram", chat=chat) as sink:
                assert isinstance(await deliver(sink), Accepted)
        assert target(receiver.requests[0]) == "/bot1:a/sendMessage"
        assert (sent(receiver)[0]["chat_id"], sent(receiver)[0]["message_thread_id"]) == (shown, 5)


async def test_feishu_is_signed_in_the_body_with_the_instant_of_the_attempt() -> None:
    clock = FakeClock()
    async with http_receiver(taken("feishu")) as receiver:
        async with robot_at(receiver.url, "feishu", secret=SECRET, clock=clock) as sink:
            await deliver(sink)
            await clock.advance(3600.7)
            await deliver(sink)
    for message, second in zip(sent(receiver), (START, START + 3600), strict=True):
        assert message["timestamp"] == f"{second:.0f}"
        key = f"{message['timestamp']}\n{SECRET}".encode()
        assert message["sign"] == base64.b64encode(hmac.digest(key, b"", hashlib.sha256)).decode()


@pytest.mark.parametrize("query", ["?access_token=abc", ""])
async def test_dingtalk_is_signed_in_the_query_with_milliseconds(query: str) -> None:
    async with http_receiver(taken("dingtalk")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/robot/send{query}"
        async with robot_at(url, "dingtalk", secret=SECRET) as sink:
            await deliver(sink)
    asked = target(receiver.requests[0])
    assert asked.startswith(f"/robot/send{query}{'&' if query else '?'}timestamp=")
    values = parse_qs(urlsplit(asked).query, strict_parsing=True)
    assert values["timestamp"] == [str(int(START * 1000))]
    text = f"{values['timestamp'][0]}\n{SECRET}".encode()
    assert values["sign"] == [base64.b64encode(hmac.digest(SECRET.encode(), text, hashlib.sha256)).decode()]
    assert "sign" not in sent(receiver)[0]


@pytest.mark.parametrize("form", ROBOTS)
async def test_without_a_secret_nothing_is_signed(form: str) -> None:
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form) as sink:
        await deliver(sink)
    assert b"sign" not in receiver.requests[0].replace(b"?sign=a%2Fb_c", b"")
    assert b"timestamp" not in receiver.requests[0]


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
    assert (outcome.retry_after_s, outcome.holds_queue) == (wait_s, True)


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
    assert "HTTP 403 Forbidden: code" in outcome.reason


async def test_a_group_that_became_a_supergroup_is_followed_and_the_new_id_is_named() -> None:
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


async def test_a_chat_that_moved_to_itself_is_not_followed() -> None:
    moved = said({"ok": False, "description": "moved", "parameters": {"migrate_to_chat_id": -7}}, status=400)
    async with http_receiver(moved) as receiver, robot_at(receiver.url, "telegram") as sink:
        assert isinstance(await deliver(sink), Deferred)
    assert len(receiver.requests) == 2


def long_urls(count: int, chars: int) -> tuple[str, ...]:
    heads = [f"https://cdn.example.com/{number}.mp4?a=1&sign=" for number in range(count)]
    return tuple(head + "s" * (chars - len(head)) for head in heads)


LIMITS: Final[Mapping[str, int]] = {"wecom": 2048, "discord": 2000, "telegram": 4096}


@pytest.mark.parametrize("form", ROBOTS)
@pytest.mark.parametrize("chars", [1500, 2500, 4000])
async def test_long_signed_urls_all_arrive_whole_and_within_the_limits(form: str, chars: int) -> None:
    urls = long_urls(4, chars)
    event = task_sample(snapshot=SUCCEEDED._replace(urls=urls))
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form) as sink:
        outcome = await deliver(sink, event)
    assert isinstance(outcome, Accepted)
    messages = sent(receiver)
    texts = [text_of(form, message) for message in messages]
    assert [url for text in texts for url in re.findall(r"https://[^\s)]+", text)] == list(urls)
    assert texts[0].startswith("🎬 trailer, take 3")
    assert all(len(request.partition(b"\r\n\r\n")[2]) <= 20_000 for request in receiver.requests)
    for message, text in zip(messages, texts, strict=True):
        limit = 4096 if "embeds" in message or "markdown" in message else LIMITS.get(form, 20_000)
        assert len(text.encode()) <= limit
    if len(messages) > 1:
        assert outcome.detail.endswith(f", {len(messages)} messages")


@pytest.mark.parametrize("form", ["wecom", "discord", "telegram"])
async def test_results_too_long_for_any_message_are_counted_in_the_text(form: str) -> None:
    event = task_sample(snapshot=SUCCEEDED._replace(urls=(*long_urls(3, 4300), URL)))
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form) as sink:
        assert isinstance(await deliver(sink, event), Accepted)
    text = "\n".join(text_of(form, message) for message in sent(receiver))
    assert URL in text
    assert f"3 more results: genbridge show {TASK_ID}" in text


async def test_wecom_counts_bytes_and_breaks_no_character() -> None:
    event = task_sample(Topic.TASK_FAILED, FAILED, reason="好" * 500, label="夜" * 80)
    async with http_receiver(taken("wecom")) as receiver:
        async with robot_at(receiver.url, "wecom", body="{{ reason }}{{ reason }}{{ reason }}") as sink:
            assert isinstance(await deliver(sink, event), Accepted)
    texts = [text_of("wecom", message) for message in sent(receiver)]
    assert len(texts) == 4
    assert all(len(text.encode()) <= 2048 for text in texts)
    assert "".join(texts).count("好") == 1500


async def test_the_next_attempt_continues_with_the_message_that_failed() -> None:
    event = task_sample(snapshot=SUCCEEDED._replace(urls=long_urls(3, 1900)))
    limited = said({"errcode": 45009, "errmsg": "api freq out of limit"})
    async with http_receiver(taken("wecom"), limited, taken("wecom")) as receiver:
        async with robot_at(receiver.url, "wecom") as sink:
            [parcel] = sink.parcels(event)
            first = await sink.deliver(as_delivery(parcel, event))
            assert isinstance(first, Deferred)
            second = await sink.deliver(as_delivery(parcel, event, attempts=1, sent_so_far=first.sent_so_far))
            assert len(receiver.requests) == 4
            again = await sink.deliver(as_delivery(parcel, event))
    assert first.reason.startswith("message 2 of 3: HTTP 200, but refused: code 45009: api freq out of limit")
    assert isinstance(second, Accepted)
    assert isinstance(again, Accepted)
    texts = [text_of("wecom", message) for message in sent(receiver)]
    assert texts[1] == texts[2], "the message that failed is the one that comes next"
    assert texts[4:] == [texts[0], texts[2], texts[3]], "a redelivery sends all of them"


async def test_messages_of_other_settings_do_not_count_as_sent() -> None:
    event = task_sample(snapshot=SUCCEEDED._replace(urls=long_urls(3, 1900)))
    async with http_receiver(taken("wecom"), answer(500), taken("wecom")) as receiver:
        async with robot_at(receiver.url, "wecom") as sink:
            [parcel] = sink.parcels(event)
            first = await sink.deliver(as_delivery(parcel, event))
        assert isinstance(first, Deferred)
        assert first.sent_so_far
        async with robot_at(receiver.url, "feishu") as sink:
            await sink.deliver(as_delivery(parcel, event, attempts=1, sent_so_far=first.sent_so_far))
    last = text_of("feishu", sent(receiver)[-1])
    assert all(url in last for url in long_urls(3, 1900))


@pytest.mark.parametrize("form", ROBOTS)
async def test_every_topic_has_a_text(form: str) -> None:
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form) as sink:
        for event in every_sample():
            assert isinstance(await deliver(sink, event), Accepted)
    assert len({text_of(form, message) for message in sent(receiver)}) == len(every_sample())


async def test_a_delivery_created_for_another_kind_of_endpoint_waits_with_a_reason() -> None:
    event = task_sample()
    async with robot_at("http://127.0.0.1:9/", "feishu") as sink:
        [parcel] = sink.parcels(event)
        bodies = (PAYLOADS["kling"](event), b'{"data": 1}', b'{"topic": "x", "data": {}}', b"[]", b"x", b"7")
        deliveries = [as_delivery(replace(parcel, body=body), event) for body in bodies]
        deliveries.append(as_delivery(parcel, event, target="1:abc"))
        outcomes = [await sink.deliver(delivery) for delivery in deliveries]
    for outcome in outcomes:
        assert outcome == Deferred(reason="created for another type or format than endpoints.team has now")


async def test_a_delivery_stored_while_a_robot_was_a_webhook_arrives_as_text() -> None:
    async with http_receiver(taken("feishu")) as receiver, robot_at(receiver.url, "feishu") as sink:
        for event in every_sample():
            if event.topic in {Topic.ACCOUNT_BLOCKED, Topic.ACCOUNT_RESTORED}:
                continue  # the number of tasks is not in the body of a webhook
            [parcel] = sink.parcels(event)
            made = replace(parcel, body=PAYLOADS["documented"](event))
            assert isinstance(await sink.deliver(as_delivery(made, event)), Accepted)
            assert isinstance(await sink.deliver(as_delivery(parcel, event)), Accepted)
    texts = [text_of("feishu", message) for message in sent(receiver)]
    assert texts[::2] == texts[1::2]


async def test_an_expression_in_the_address_is_filled_in_when_the_event_is_stored() -> None:
    event = task_sample(meta={"chat": "a b"})
    async with http_receiver(taken("telegram")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/{{{{ meta.chat }}}}/sendMessage"
        async with robot_at(url, "telegram") as sink:
            assert isinstance(await deliver(sink, event), Accepted)
            assert isinstance(await deliver(sink, task_sample()), Undeliverable)
    assert target(receiver.requests[0]) == "/a%20b/sendMessage"


async def test_a_silent_service_fails_within_the_time_out() -> None:
    async with http_receiver(HANG) as receiver, robot_at(receiver.url, "feishu", timeout_s=0.2) as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert "in time" in outcome.reason


@pytest.mark.parametrize("answer", [HANG, b"connection: close"], ids=["time-out", "closed without an answer"])
async def test_a_message_that_may_have_arrived_is_not_repeated_soon(answer: bytes) -> None:
    async with http_receiver(answer) as receiver, robot_at(receiver.url, "feishu", timeout_s=0.2) as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert outcome.is_unanswered


async def test_a_message_that_was_never_sent_is_retried_by_the_plan() -> None:
    async with http_receiver() as receiver:
        url = receiver.url
    async with robot_at(url, "feishu") as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert not outcome.is_unanswered
