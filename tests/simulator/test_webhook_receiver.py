from __future__ import annotations

import base64
import hashlib
import hmac
import json

import anyio
import pytest

from bridge.simulator.webhook_receiver import MAX_BODY_BYTES, PATH, ReceivedWebhook, Receiver, ReceiverOutage
from tests.fakes import START, FakeClock
from tests.served import served
from tests.stopwatch import until

API_KEY = "hook-key"
RAW_SECRET = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(RAW_SECRET).decode()
BODY = json.dumps({"topic": "task_succeeded", "data": {"task_id": "t-1", "urls": []}}).encode()


def headers(body: bytes, *, webhook_id: str = "evt_1", at: float = START, secret: bytes = RAW_SECRET) -> dict[str, str]:
    """The headers that Standard Webhooks 1.0.0 demands of a sender. This function follows the text of that standard."""
    signed = hmac.new(secret, f"{webhook_id}.{int(at)}.".encode() + body, hashlib.sha256).digest()
    return {
        "authorization": f"Bearer {API_KEY}",
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }


class Recorder:
    """A receiver, and the webhooks that it has reported."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.webhooks: list[ReceivedWebhook] = []
        self.receiver = Receiver(self.clock, api_key=API_KEY, secret=SECRET, on_webhook=self.webhooks.append)


async def post(recorder: Recorder, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    async with served(recorder.receiver.app) as client:
        answer = await client.post(PATH, content=body, headers=headers)
        return answer.status_code, answer.text


async def test_a_webhook_with_key_and_signature_is_accepted() -> None:
    recorder = Recorder()
    assert await post(recorder, BODY, headers(BODY)) == (200, "{}")
    wanted = ReceivedWebhook(
        webhook_id="evt_1", topic="task_succeeded", data={"task_id": "t-1", "urls": []}, arrived_at=START
    )
    assert recorder.webhooks == [wanted]
    assert recorder.receiver.webhooks == {"evt_1": wanted}
    assert wanted.line().split() == ["task_succeeded", "t-1", "evt_1"]


async def test_a_repeated_id_is_accepted_and_counted_but_not_passed_on() -> None:
    recorder = Recorder()
    for later_s in (0, 5, 7):
        assert (await post(recorder, BODY, headers(BODY, at=START + later_s)))[0] == 200
    assert (len(recorder.webhooks), recorder.receiver.repeats) == (1, 2)


async def test_a_receiver_that_is_down_once_answers_503_and_accepts_the_retry() -> None:
    recorder = Recorder()
    turned_away: list[ReceivedWebhook] = []
    recorder.receiver = Receiver(
        recorder.clock,
        api_key=API_KEY,
        secret=SECRET,
        on_webhook=recorder.webhooks.append,
        outage=ReceiverOutage(after=1, lasts_s=1.5),
        on_turned_away=turned_away.append,
    )
    answers = []
    for webhook_id, later_s in (("evt_1", 0), ("evt_2", 0), ("evt_2", 1), ("evt_2", 1)):
        await recorder.clock.advance(later_s)
        answers.append((await post(recorder, BODY, headers(BODY, webhook_id=webhook_id)))[0])
    assert answers == [200, 503, 503, 200]
    assert (list(recorder.receiver.webhooks), len(turned_away)) == (["evt_1", "evt_2"], 2)
    assert recorder.receiver.turned_away == {"t-1": 2}


async def test_one_valid_signature_among_several_is_enough() -> None:
    recorder = Recorder()
    given = headers(BODY)
    other = headers(BODY, secret=b"another")["webhook-signature"]
    assert (await post(recorder, BODY, given | {"webhook-signature": f"{other} {given['webhook-signature']}"}))[
        0
    ] == 200


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
        ({"webhook-timestamp": str(int(START) + 1)}, "no signature matches"),
        ({"webhook-id": "evt_2"}, "no signature matches"),
        ({"webhook-signature": ""}, "no signature matches"),
        ({"webhook-signature": "v1,AAAA"}, "no signature matches"),
        (headers(BODY, secret=b"another"), "no signature matches"),
        (headers(BODY + b" "), "no signature matches"),
    ],
)
async def test_a_wrong_key_or_signature_is_401_with_a_reason(change: dict[str, str], reason: str) -> None:
    recorder = Recorder()
    assert await post(recorder, BODY, headers(BODY) | change) == (401, reason)
    assert (recorder.webhooks, recorder.receiver.refused) == ([], 1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"topic": "x"}', b'{"topic": "x", "data": 5}'])
async def test_a_signed_body_of_another_shape_is_400(body: bytes) -> None:
    recorder = Recorder()
    assert (await post(recorder, body, headers(body)))[0] == 400
    assert (recorder.webhooks, recorder.receiver.refused) == ([], 1)


async def test_a_body_above_the_size_limit_is_413() -> None:
    recorder = Recorder()
    body = b" " * (MAX_BODY_BYTES + 1)
    assert (await post(recorder, body, headers(body)))[0] == 413


async def test_a_client_that_disconnects_in_the_middle_of_a_body_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    async with served(recorder.receiver.app) as client:
        port = client.base_url.port
        assert port is not None
        async with await anyio.connect_tcp("127.0.0.1", port) as leaver:
            await leaver.send(f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{{".encode())
            await anyio.sleep(0.1)
        await until(lambda: recorder.receiver.refused)
    assert recorder.receiver.refused == 1
    assert caplog.records == []


async def test_a_webhook_about_an_account_has_no_task_id() -> None:
    recorder = Recorder()
    body = json.dumps({"topic": "account_blocked", "data": {"account": "kling", "reason": "key"}}).encode()
    assert (await post(recorder, body, headers(body)))[0] == 200
    assert recorder.webhooks[0].task_id == ""
