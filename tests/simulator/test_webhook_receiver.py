from __future__ import annotations

import base64
import hashlib
import hmac
import json

import anyio
import pytest

from bridge.simulator.receiver import MAX_BODY_BYTES, PATH, Receiver, Webhook
from tests.fakes import START, FakeClock
from tests.simulator.served import served
from tests.stopwatch import until

API_KEY = "hook-key"
RAW_SECRET = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(RAW_SECRET).decode()
BODY = json.dumps({"topic": "task_succeeded", "data": {"task_id": "t-1", "urls": []}}).encode()


def headers(body: bytes, *, webhook_id: str = "evt_1", at: float = START, secret: bytes = RAW_SECRET) -> dict[str, str]:
    """What Standard Webhooks 1.0.0 asks of a sender, from its text alone."""
    signed = hmac.new(secret, f"{webhook_id}.{int(at)}.".encode() + body, hashlib.sha256).digest()
    return {
        "authorization": f"Bearer {API_KEY}",
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }


class Heard:
    """A receiver and the webhooks it called back for."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.webhooks: list[Webhook] = []
        self.receiver = Receiver(self.clock, api_key=API_KEY, secret=SECRET, on_webhook=self.webhooks.append)


async def post(heard: Heard, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    async with served(heard.receiver.app) as client:
        answer = await client.post(PATH, content=body, headers=headers)
        return answer.status_code, answer.text


async def test_a_webhook_with_bearer_and_signature_is_taken_and_called_back() -> None:
    heard = Heard()
    assert await post(heard, BODY, headers(BODY)) == (200, "{}")
    wanted = Webhook(webhook_id="evt_1", topic="task_succeeded", data={"task_id": "t-1", "urls": []}, arrived_at=START)
    assert heard.webhooks == [wanted]
    assert heard.receiver.webhooks == {"evt_1": wanted}
    assert wanted.line().split() == ["task_succeeded", "t-1", "evt_1"]


async def test_the_same_id_again_is_accepted_counted_and_not_called_back() -> None:
    heard = Heard()
    for later_s in (0, 5, 7):
        assert (await post(heard, BODY, headers(BODY, at=START + later_s)))[0] == 200
    assert (len(heard.webhooks), heard.receiver.repeats) == (1, 2)


async def test_one_good_signature_among_several_is_enough() -> None:
    heard = Heard()
    given = headers(BODY)
    other = headers(BODY, secret=b"another")["webhook-signature"]
    assert (await post(heard, BODY, given | {"webhook-signature": f"{other} {given['webhook-signature']}"}))[0] == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"authorization": "Bearer wrong"}, "the bearer key is wrong"),
        ({"authorization": ""}, "the bearer key is wrong"),
        ({"webhook-id": ""}, "webhook-id or webhook-timestamp is missing"),
        ({"webhook-timestamp": ""}, "webhook-id or webhook-timestamp is missing"),
        ({"webhook-timestamp": "soon"}, "webhook-id or webhook-timestamp is missing"),
        ({"webhook-timestamp": str(int(START) - 301)}, "webhook-timestamp is too far from now"),
        ({"webhook-timestamp": "9" * 5000}, "webhook-timestamp is too far from now"),
        ({"webhook-timestamp": str(int(START) + 1)}, "no signature fits"),
        ({"webhook-id": "evt_2"}, "no signature fits"),
        ({"webhook-signature": ""}, "no signature fits"),
        ({"webhook-signature": "v1,AAAA"}, "no signature fits"),
        (headers(BODY, secret=b"another"), "no signature fits"),
        (headers(BODY + b" "), "no signature fits"),
    ],
)
async def test_a_wrong_key_or_signature_is_401_with_a_reason(change: dict[str, str], reason: str) -> None:
    heard = Heard()
    assert await post(heard, BODY, headers(BODY) | change) == (401, reason)
    assert (heard.webhooks, heard.receiver.refused) == ([], 1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"topic": "x"}', b'{"topic": "x", "data": 5}'])
async def test_a_signed_body_of_another_form_is_400(body: bytes) -> None:
    heard = Heard()
    assert (await post(heard, body, headers(body)))[0] == 400
    assert (heard.webhooks, heard.receiver.refused) == ([], 1)


async def test_a_body_over_the_cap_is_413() -> None:
    heard = Heard()
    body = b" " * (MAX_BODY_BYTES + 1)
    assert (await post(heard, body, headers(body)))[0] == 413


async def test_a_body_that_breaks_off_is_refused_quietly(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    async with served(heard.receiver.app) as client:
        port = client.base_url.port
        assert port is not None
        async with await anyio.connect_tcp("127.0.0.1", port) as leaver:
            await leaver.send(f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{{".encode())
            await anyio.sleep(0.1)
        await until(lambda: heard.receiver.refused)
    assert heard.receiver.refused == 1
    assert caplog.records == []


async def test_a_topic_about_an_account_has_no_task() -> None:
    heard = Heard()
    body = json.dumps({"topic": "account_blocked", "data": {"account": "kling", "reason": "key"}}).encode()
    assert (await post(heard, body, headers(body)))[0] == 200
    assert heard.webhooks[0].task_id == ""
