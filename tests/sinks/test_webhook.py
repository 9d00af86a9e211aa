"""The webhook, byte for byte, against a real server on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from replicate.prediction import Prediction
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from bridge.clock import SystemClock
from bridge.domain.backoff import RetryPlan
from bridge.domain.delivery import Accepted, Deferred, Outcome, Refused, settle
from bridge.domain.event import Event, Parcel
from bridge.encoding import documented
from bridge.sinks.payloads import PAYLOADS
from bridge.sinks.webhook import WebhookSink
from tests.fakes import START, FakeClock
from tests.loopback import Exchange, loopback
from tests.sinks.posting import deliver, sink_at
from tests.sinks.receivers import HANG, HttpReceiver, answer, http_receiver, silent_service
from tests.sinks.samples import as_delivery, task_sample
from tests.stopwatch import Stopwatch

ROOT = Path(__file__).parents[2]
NOTIFY = ROOT / "tests/data/notify"
VECTOR = json.loads((NOTIFY / "standard_webhooks_vector.json").read_text())
EVENT = task_sample()


async def outcome_of(said: bytes, *, timeout_s: float = 10.0) -> Outcome:
    async with http_receiver(said) as receiver, sink_at(receiver.url, timeout_s=timeout_s) as sink:
        return await deliver(sink)


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


async def sent(receiver: HttpReceiver, sink: WebhookSink) -> bytes:
    assert isinstance(await deliver(sink), Accepted)
    return receiver.requests[-1]


async def test_the_request_is_the_documented_one_byte_for_byte() -> None:
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, api_key="k-123", secrets=[VECTOR["secret"]]) as sink:
            request = await sent(receiver, sink)
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /hooks?x=1 HTTP/1.1"
    ours = [line for line in lines if not line.lower().startswith(("host:", "content-length:"))]
    assert len(lines) == len(ours) + 2
    signature = ours.pop()
    assert re.fullmatch(r"webhook-signature: v1,[A-Za-z0-9+/]{43}=", signature)
    assert ours == [
        "Content-Type: application/json",
        "Authorization: Bearer k-123",
        "User-Agent: genbridge/9.9",
        "Accept-Encoding: identity",
        f"webhook-id: {EVENT.event_id}",
        f"webhook-timestamp: {START:.0f}",
    ]
    assert body == documented(EVENT)
    assert body.startswith(b'{"topic":"task_succeeded","data":{"task_id":"CjgHs2a8AAAAAAAAEx0sKQ",')


async def test_without_key_and_secret_neither_header_is_sent() -> None:
    async with http_receiver() as receiver, sink_at(receiver.url) as sink:
        names = {name.lower() for name in headers_of(await sent(receiver, sink))}
    assert not names & {"authorization", "webhook-signature"}


async def test_every_attempt_repeats_id_and_bytes_and_has_its_own_timestamp() -> None:
    clock = FakeClock()
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, secrets=[VECTOR["secret"]], clock=clock) as sink:
            first = await sent(receiver, sink)
            await clock.advance(3600.7)
            second = await sent(receiver, sink)
    assert body_of(first) == body_of(second)
    assert headers_of(first)["webhook-id"] == headers_of(second)["webhook-id"]
    assert int(headers_of(second)["webhook-timestamp"]) - int(headers_of(first)["webhook-timestamp"]) == 3600
    assert headers_of(first)["webhook-signature"] != headers_of(second)["webhook-signature"]


async def test_the_signature_matches_the_specification_and_the_docs() -> None:
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, secrets=[VECTOR["secret"]], clock=SystemClock()) as sink:
            request = await sent(receiver, sink)
    headers, body = headers_of(request), body_of(request)
    key = base64.b64decode(VECTOR["secret"].removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == expected

    verify = documented_verifier()
    assert verify(VECTOR["secret"], headers, body)
    assert not verify(VECTOR["secret"], headers, body + b" ")
    assert not verify(VECTOR["previous_secret"], headers, body)
    assert not verify(VECTOR["secret"], {**headers, "webhook-timestamp": str(int(time.time()) - 301)}, body)


def documented_verifier() -> Callable[[str, Mapping[str, str], bytes], bool]:
    """The function that the page shows."""
    page = (ROOT / "docs/signatures.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    verify: Callable[[str, Mapping[str, str], bytes], bool] = made["verify"]
    return verify


async def test_the_signatures_are_those_of_the_vector_during_rotation_too() -> None:
    clock = FakeClock(float(VECTOR["webhook-timestamp"]))
    event = Event(event_id=VECTOR["webhook-id"], topic=EVENT.topic, account="a", subject="s", occurred_at=0.0, data={})
    parcel = Parcel(endpoint="automation", target="", body=VECTOR["body"].encode())
    for secrets, field in (
        ([VECTOR["secret"]], "webhook-signature"),
        ([VECTOR["secret"], VECTOR["previous_secret"]], "webhook-signature_during_rotation"),
    ):
        async with http_receiver() as receiver, sink_at(receiver.url, secrets=secrets, clock=clock) as sink:
            await sink.deliver(as_delivery(parcel, event))
        assert headers_of(receiver.requests[0])["webhook-signature"] == VECTOR[field]


async def test_the_svix_client_accepts_what_is_sent_with_either_secret() -> None:
    import svix  # imported here: it takes half a second, which each process that collects tests would spend

    secrets = [VECTOR["secret"], VECTOR["previous_secret"]]
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, secrets=secrets, clock=SystemClock()) as sink:
            request = await sent(receiver, sink)
    for secret in secrets:
        svix.Webhook(secret).verify(body_of(request), headers_of(request))
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook("whsec_" + "A" * 32).verify(body_of(request), headers_of(request))


async def test_signatures_match_klings_published_example() -> None:
    vector = json.loads((NOTIFY / "kling_callback_signature_vector.json").read_text())
    event = replace(EVENT, event_id=vector["webhook-id"])
    parcel = Parcel(endpoint="automation", target="", body=vector["body"].encode())
    clock = FakeClock(float(vector["webhook-timestamp"]))
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, secrets=[vector["secret"]], clock=clock, form="kling") as sink:
            await sink.deliver(as_delivery(parcel, event))
    sent = headers_of(receiver.requests[0])
    assert {key: sent[key] for key in vector if key.startswith("webhook-")} == {
        key: value for key, value in vector.items() if key.startswith("webhook-")
    }


async def test_replicates_client_validates_what_is_sent_as_a_prediction() -> None:
    async with http_receiver() as receiver:
        secrets = [VECTOR["secret"], VECTOR["previous_secret"]]
        async with sink_at(receiver.url, secrets=secrets, clock=SystemClock(), form="replicate") as sink:
            request = await sent(receiver, sink)
    taken = httpx.Request("POST", receiver.url, headers=headers_of(request), content=body_of(request))
    for secret in secrets:
        Webhooks.validate(request=taken, secret=WebhookSigningSecret(key=secret), tolerance=60)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(request=taken, secret=WebhookSigningSecret(key="whsec_" + "A" * 32))
    assert Prediction(**json.loads(taken.content)).status == "succeeded"


async def test_the_newapi_signature_matches_its_vector_without_other_schemes() -> None:
    vector = json.loads((NOTIFY / "newapi_signature_vector.json").read_text())
    parcel = Parcel(endpoint="automation", target="", body=vector["body"].encode())
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, secrets=[vector["secret"]], form="newapi") as sink:
            await sink.deliver(as_delivery(parcel, EVENT))
            signed = await sent(receiver, sink)
        async with sink_at(receiver.url, form="newapi") as sink:
            bare = headers_of(await sent(receiver, sink))
    headers = headers_of(receiver.requests[0])
    assert headers["X-Webhook-Signature"] == vector["X-Webhook-Signature"]
    assert headers["webhook-id"] == EVENT.event_id
    assert "webhook-signature" not in headers
    assert "x-webhook-signature" not in {name.lower() for name in bare}
    digest = hmac.new(vector["secret"].encode(), body_of(signed), hashlib.sha256).hexdigest()
    assert headers_of(signed)["X-Webhook-Signature"] == digest
    assert json.loads(body_of(signed))["type"] == "task_succeeded"


async def test_a_cloudevent_is_sent_as_one_and_read_by_the_library() -> None:
    async with http_receiver() as receiver:
        async with sink_at(receiver.url, form="template", template="cloudevents") as sink:
            request = await sent(receiver, sink)
    assert headers_of(request)["Content-Type"] == "application/cloudevents+json"
    event = from_http_event(HTTPMessage(headers_of(request), body_of(request)))
    assert (event.get_id(), event.get_type()) == (EVENT.event_id, "genbridge.task.succeeded")


async def test_a_custom_body_may_have_a_custom_media_type() -> None:
    async with http_receiver() as receiver:
        headers = {"content-type": "application/vnd.example+json"}
        async with sink_at(receiver.url, form="template", body='{"id": {{ task_id }}}', headers=headers) as sink:
            request = await sent(receiver, sink)
    assert body_of(request) == b'{"id":"CjgHs2a8AAAAAAAAEx0sKQ"}'
    assert headers_of(request)["content-type"] == "application/vnd.example+json"
    assert "Content-Type" not in headers_of(request)


@pytest.mark.parametrize("form", PAYLOADS)
async def test_the_format_of_the_endpoint_makes_the_body(form: str) -> None:
    async with http_receiver() as receiver, sink_at(receiver.url, form=form) as sink:
        request = await sent(receiver, sink)
    assert body_of(request) == PAYLOADS[form](EVENT)
    assert headers_of(request)["Content-Type"] == "application/json"


async def test_custom_headers_replace_genbridges_in_any_case() -> None:
    own = {"X-Hook-Key": "abc", "user-agent": "mine/1", "authorization": "Basic Zm9v"}
    async with http_receiver() as receiver, sink_at(receiver.url, headers=own) as sink:
        headers = headers_of(await sent(receiver, sink))
    assert {name: headers[name] for name in own} == own
    assert "User-Agent" not in headers
    assert headers["webhook-id"] == EVENT.event_id


@pytest.mark.parametrize(
    "said",
    [
        answer(200),
        answer(204),
        answer(299, b"{not json"),
        answer(202, b"x" * 1_000_000),
        answer(200, b"\x1f\x8b\x08broken", content_encoding="gzip"),
        answer(200, b"what?", content_encoding="unheard-of"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\ncut",
        b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\nff\r\nabc" + HANG,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n",
    ],
)
async def test_a_2xx_status_line_accepts_whatever_its_body(said: bytes) -> None:
    outcome = await outcome_of(said, timeout_s=1)
    assert outcome == Accepted(detail=f"HTTP {said[9:12].decode()}")


MALFORMED = [
    b"Bad Header: x\r\n\r\n",
    b"no colon here\r\n\r\n",
    b"content-length: many\r\n\r\n",
    b"content-length: 2\r\ncontent-length: 3\r\n\r\nok",
    b"x: \x00\r\n\r\n",
    b"content-length: 0\r\n" + b"x: y\r\n" * 30_000 + b"\r\n",
]


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204\r\n", b"HTTP/1.1 201 \r\nserver: x\r\n"])
@pytest.mark.parametrize("head", MALFORMED)
async def test_a_2xx_status_line_accepts_whatever_its_headers(line: bytes, head: bytes) -> None:
    assert await outcome_of(line + head) == Accepted(detail=f"HTTP {int(line[9:12])}")


async def test_a_status_line_counts_if_malformed_headers_follow_later() -> None:
    async def slowly(exchange: Exchange) -> None:
        for part in (b"HTTP/1", b".1 200 OK\r", b"\nBad", b" Header: x\r\n\r\n"):
            await exchange.raw(part)
            await anyio.sleep(0.05)

    async with loopback(slowly) as server, sink_at(f"{server.url}/hook") as sink:
        assert await deliver(sink) == Accepted(detail="HTTP 200")
        assert await deliver(sink) == Accepted(detail="HTTP 200")


@pytest.mark.parametrize("line", [b"", b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 abc\r\n", b"HTTQ/1.1 200 OK\r\n"])
async def test_headers_without_a_valid_status_line_are_tried_again(line: bytes) -> None:
    outcome = await outcome_of(line + b"content-length: 0\r\n\r\n")
    assert isinstance(outcome, Deferred)
    assert "is not HTTP" in outcome.reason


async def test_a_failure_with_malformed_headers_is_tried_again_by_its_status() -> None:
    assert await outcome_of(b"HTTP/1.1 503 Busy\r\nno colon\r\n\r\n") == Deferred(reason="HTTP 503 Service Unavailable")


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 401, 404, 408, 409, 429, 500, 502, 503, 504, 599])
async def test_every_other_status_is_tried_again(status: int) -> None:
    async with http_receiver(answer(status, location="/elsewhere")) as receiver, sink_at(receiver.url) as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert outcome.reason.startswith(f"HTTP {status}")
    assert len(receiver.requests) == 1


async def test_410_disables_the_endpoint() -> None:
    assert await outcome_of(answer(410, b"moved away")) == Refused(reason="HTTP 410 Gone: moved away")


async def test_a_reason_holds_one_short_harmless_line_of_the_body() -> None:
    body = b"<p>\x1b[31mno\r\n\xff way" + b"!" * 100_000
    outcome = await outcome_of(answer(503, body))
    assert isinstance(outcome, Deferred)
    assert outcome.reason.startswith("HTTP 503 Service Unavailable: <p> [31mno \ufffd way!!!")
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 250


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "7200"}, 7200.0),
        (
            {"retry_after": "Wed, 21 Oct 2026 09:28:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            7200.0,
        ),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({}, None),
    ],
)
async def test_a_retry_time_from_the_receiver_holds_its_queue(headers: dict[str, str], wait_s: float | None) -> None:
    outcome = await outcome_of(answer(429, b"", **headers))
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after_s, outcome.delays_queue) == (wait_s, wait_s is not None)


@pytest.mark.parametrize(("status", "is_general"), [(409, False), (425, False), (500, True), (503, True)])
async def test_a_wait_for_one_event_does_not_hold_the_others(status: int, is_general: bool) -> None:
    outcome = await outcome_of(answer(status, b"the order is not there yet", retry_after="60"))
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after_s, outcome.delays_queue) == (60.0, is_general)


@pytest.mark.parametrize("body", [b'{"retry_after": 1.5}', b'{"parameters": {"retry_after": "1.5"}}'])
async def test_a_wait_in_the_answers_json_counts_like_the_header(body: bytes) -> None:
    outcome = await outcome_of(answer(429, body, retry_after="1"))
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after_s, outcome.delays_queue) == (1.5, True)


async def test_a_wait_beyond_the_longest_step_is_shortened_to_it() -> None:
    outcome = await outcome_of(answer(503, retry_after="1000000000"))
    parcel = Parcel(endpoint="automation", target="", body=b"{}")
    plan = RetryPlan(steps_s=(5.0, 86_400.0))
    made = settle(as_delivery(parcel, EVENT), outcome, plan=plan, now=0.0, duration_s=0.0, chance=0.0)
    assert made.next_attempt_at == 86_400.0


async def test_a_hanging_receiver_takes_only_the_time_out() -> None:
    with silent_service() as port:
        waiting = Stopwatch()
        async with sink_at(f"http://127.0.0.1:{port}/", timeout_s=0.3) as sink:
            outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert waiting.seconds < 3
    assert str(port) in outcome.reason


async def test_only_64_kib_of_an_endless_answer_are_read() -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 99000000\r\n\r\n" + b"x" * 66_000 + HANG
    with anyio.fail_after(20):
        assert await outcome_of(said, timeout_s=60) == Accepted(detail="HTTP 200")


async def test_a_receiver_that_resets_the_connection_gets_the_event_again() -> None:
    outcome = await outcome_of(b"connection: close")
    assert isinstance(outcome, Deferred)


async def test_a_delivery_created_for_a_chat_is_not_posted() -> None:
    async with http_receiver() as receiver, sink_at(receiver.url) as sink:
        parcel = Parcel(endpoint="automation", target="1:0123456789ab", body=b"{}")
        outcome = await sink.deliver(as_delivery(parcel, EVENT))
    assert isinstance(outcome, Deferred)
    assert receiver.requests == []


async def test_answers_of_programs_get_no_advice_about_robots() -> None:
    async with http_receiver(answer(401, b'{"error":"invalid token"}')) as receiver, sink_at(receiver.url) as sink:
        outcome = await deliver(sink)
    assert isinstance(outcome, Deferred)
    assert outcome.reason == "HTTP 401 Unauthorized: invalid token"
