"""Group robots of chat services, each played by a real server: what they get."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.domain.delivery import Accepted, Deferred, Undeliverable
from bridge.domain.event import Topic
from bridge.domain.task import Json
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.payloads import PAYLOADS
from tests.fakes import START, FakeClock
from tests.sinks.posting import deliver, robot_at
from tests.sinks.reading import text_of
from tests.sinks.receivers import answer, http_receiver
from tests.sinks.robot_answers import said, sent, taken, target
from tests.sinks.samples import FAILED, SUCCEEDED, TASK_ID, URL, as_delivery, every_sample, task_sample

SECRET: Final = "SEC-f0e1d2c3"


@pytest.mark.parametrize("form", ROBOTS)
async def test_a_success_text_has_the_name_first_and_the_result_second(form: str) -> None:
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
    assert expected.keys() == ROBOTS.keys()
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


async def test_results_of_different_kinds_are_named_by_their_kind() -> None:
    urls = {"videos": ["https://a.example/1.mp4"], "audios": ["https://a.example/2.mp3"]}
    urls["images"] = ["https://a.example/3.png", "https://a.example/4.png"]
    result: dict[str, Json] = {kind: [{"url": url} for url in found] for kind, found in urls.items()}
    event = task_sample(snapshot=SUCCEEDED._replace(result=result, urls=tuple(chain(*urls.values()))))
    async with http_receiver(taken("dingtalk")) as receiver, robot_at(receiver.url, "dingtalk") as sink:
        assert isinstance(await deliver(sink, event), Accepted)
    buttons = sent(receiver)[0]["actionCard"]["btns"]
    assert {each["title"] for each in buttons} == {"Watch the video", "Listen to it", "Image 1", "Image 2"}


async def test_a_robot_counts_the_results_that_do_not_fit_in_its_language() -> None:
    event = task_sample(snapshot=SUCCEEDED._replace(urls=(f"https://a.example/{'s' * 9000}",)))
    style = ChatStyle(language="zh")
    async with http_receiver(taken("wecom")) as receiver, robot_at(receiver.url, "wecom", style=style) as sink:
        assert isinstance(await deliver(sink, event), Accepted)
    assert sent(receiver)[0]["text"]["content"].endswith(f"另有 1 个结果\uff0c见 genbridge show {event.subject}")


@pytest.mark.parametrize("form", ROBOTS)
async def test_without_a_secret_nothing_is_signed(form: str) -> None:
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form) as sink:
        await deliver(sink)
    assert b"sign" not in receiver.requests[0].replace(b"?sign=a%2Fb_c", b"")
    assert b"timestamp" not in receiver.requests[0]


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


async def test_an_expression_in_the_address_is_filled_at_the_commit() -> None:
    event = task_sample(meta={"chat": "a b"})
    async with http_receiver(taken("telegram")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/{{{{ meta.chat }}}}/sendMessage"
        async with robot_at(url, "telegram") as sink:
            assert isinstance(await deliver(sink, event), Accepted)
            assert isinstance(await deliver(sink, task_sample()), Undeliverable)
    assert target(receiver.requests[0]) == "/a%20b/sendMessage"
