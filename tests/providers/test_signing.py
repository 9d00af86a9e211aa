"""Requests that are signed in place of showing a key: Jimeng at Volcengine's own host."""

from __future__ import annotations

import json

import anyio
import pytest

from bridge.domain.task import Kind
from bridge.net.client import HttpClient
from bridge.net.http_server import listen, serve_on
from bridge.providers.auth import volcengine
from bridge.providers.calls import KeyPair
from bridge.providers.catalogue import DescriptionsRefused, descriptions, load_descriptions
from bridge.providers.description import Description
from bridge.providers.provider import HttpProvider
from bridge.simulator.simulated_provider import SimulatedProvider
from tests.fakes import FakeClock
from tests.loopback import answers, loopback
from tests.providers.reading_of import reading_of

# Computed with the vendor's own Python packages: both vectors with volcengine 1.0.229 (`SignerV4.sign_only`), the first
# with volcengine-python-sdk 5.0.54 (`SignerV4.sign`) as well, which agree.
ACCESS_KEY = "AKLTexample0123456789"
SECRET_KEY = "c2VjcmV0LWtleS1mb3ItdGVzdHMtMDEyMzQ1Njc4OQ=="
KEYS = (ACCESS_KEY, SECRET_KEY)
AT = 1_762_000_245.0  # 2025-11-01 12:30:45 UTC
BODY = b'{"req_key":"jimeng_vgfm_t2v_l20","task_id":"7392616336519610409"}'
QUERY = "Action=CVSync2AsyncGetResult&Version=2022-08-31"
SIGNED = {
    "X-Date": "20251101T123045Z",
    "X-Content-Sha256": "67cdf273f6c42dee0439e6e846b8ec2f570cf6d2fe0367e120f0cadd9b028633",
    "Authorization": (
        "HMAC-SHA256 Credential=AKLTexample0123456789/20251101/cn-north-1/cv/request, "
        "SignedHeaders=content-type;host;x-content-sha256;x-date, "
        "Signature=9f67289eca10b31450a68acc40c7aa2786432790f385249b954184ac46ee1745"
    ),
}
PAIR = KeyPair(sign="volcengine", region="cn-north-1", service="cv")
OWN = {"extends": "jimeng", "direct": {"hosts": ["127.0.0.1"]}}


def test_a_request_is_signed_as_the_vendors_own_packages_sign_it() -> None:
    url = f"https://visual.volcengineapi.com:443?{QUERY}"

    headers = {"Content-Type": "application/json"}
    assert volcengine("POST", url, headers, BODY, pair=PAIR, keys=KEYS, now=AT) == SIGNED


def test_path_and_query_are_signed_in_the_vendors_spelling_and_order_and_a_request_may_have_no_body() -> None:
    signed = volcengine(
        "GET",
        "http://127.0.0.1:8080/top/%E8%A7%86%E9%A2%91?task_id=a%20b%2F%c3%bc~%2B1&Version=1&Action=Get",
        {"accept": "*/*"},
        b"",
        pair=KeyPair(sign="volcengine", region="ap-southeast-1", service="billing"),
        keys=KEYS,
        now=AT,
    )

    assert signed["Authorization"].partition("Signature=")[2] == (
        "aa697f32757cf45c5515f26de63bf07334c5f7c2d1582958abe9789e9e6df875"
    )
    assert "SignedHeaders=host;x-content-sha256;x-date," in signed["Authorization"]


def _signed(description: Description, base_url: str, client: HttpClient, secret_key: str = SECRET_KEY) -> HttpProvider:
    pair = (ACCESS_KEY, secret_key)
    return HttpProvider(description, base_url=base_url, client=client, pair=pair, now=lambda: AT)


async def test_requests_to_jimengs_own_host_are_signed_as_sent() -> None:
    client = HttpClient(timeout_s=5, concurrency=1)
    body = b'{"code":10000,"data":{"status":"done","image_urls":["https://cdn.example.com/1.png"]}}'
    async with loopback(answers(200, body)) as server:
        reading = await _signed(load_descriptions({"own": OWN})["own"], server.url, client).poll("7392", "jimeng_t2i")
    await client.aclose()

    (asked,) = server.asked
    assert reading.kind is Kind.SUCCEEDED
    assert (asked.method, asked.target) == ("POST", f"/?{QUERY}")
    assert json.loads(asked.body) == {"req_key": "jimeng_t2i", "task_id": "7392"}
    assert asked.headers["authorization"].startswith(f"HMAC-SHA256 Credential={ACCESS_KEY}/20251101/cn-north-1/cv/")
    sent = {"content-type": asked.headers["content-type"], "host": asked.headers["host"]}
    again = volcengine("POST", f"{server.url}/?{QUERY}", sent, asked.body, pair=PAIR, keys=KEYS, now=AT)
    assert asked.headers["authorization"] == again["Authorization"]


@pytest.mark.parametrize("path", ["", "/"])
async def test_the_simulated_host_accepts_only_the_right_signature(path: str) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock, key=SECRET_KEY, provider="jimeng")
    description = load_descriptions({"own": OWN})["own"]
    client = HttpClient(timeout_s=5, concurrency=1)
    async with anyio.create_task_group() as group:
        port = await group.start(
            lambda task_status: serve_on(simulated.app, listen("127.0.0.1", 0), task_status=task_status)
        )
        base_url = f"http://127.0.0.1:{port}{path}"
        good = await _signed(description, base_url, client).poll("demo-running-9s", "jimeng_t2i")
        aggregated = await _signed(descriptions()["jimeng"], base_url, client).poll("demo-running-9s", "jimeng_t2i")
        wrong = await _signed(description, base_url, client, "another-secret").poll("demo-running-9s", "jimeng_t2i")
        group.cancel_scope.cancel()
    await client.aclose()

    assert {good.kind, aggregated.kind} <= {Kind.PENDING, Kind.RUNNING}
    assert wrong.kind is Kind.AUTH_ERROR
    assert "signature we calculated does not match" in wrong.detail  # the vendor's words, not a gateway's


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "SignatureDoesNotMatch", Kind.AUTH_ERROR),
        (400, "InvalidTimestamp", Kind.AUTH_ERROR),
        (404, "InvalidActionOrVersion", Kind.AUTH_ERROR),
        (200, "SomethingNew", Kind.AUTH_ERROR),
        (429, "FlowLimitExceeded", Kind.RATE_LIMITED),
        (500, "InternalServiceError", Kind.TRANSIENT),
    ],
)
def test_an_answer_of_the_vendors_gateway_is_never_about_the_task(status: int, code: str, kind: Kind) -> None:
    said = {"ResponseMetadata": {"RequestId": "r", "Error": {"CodeN": 100010, "Code": code, "Message": "not let in"}}}

    reading = reading_of(said, provider="jimeng", status=status, task_id="7392", action="jimeng_t2i")

    assert reading.kind is kind
    assert reading.detail.endswith(": not let in")


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (
            {"key_pair": {"region": None}},
            "a token (jwt) has early and expired codes, a signature a region and a service",
        ),
        (
            {"key_pair": {"sign": "jwt"}},
            "a token (jwt) has early and expired codes, a signature a region and a service",
        ),
        ({"key_pair": None}, "auth is signed: say under key_pair which function signs"),
    ],
)
def test_a_description_that_cannot_sign_is_refused(own: dict[str, object], problem: str) -> None:
    with pytest.raises(DescriptionsRefused) as refused:
        load_descriptions({"own": {**OWN, **own}})

    assert problem in str(refused.value)
