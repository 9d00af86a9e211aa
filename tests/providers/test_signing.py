"""Requests that are signed instead of containing a key: Jimeng at Volcengine's own host."""

from __future__ import annotations

import hmac
import json
import re
from functools import reduce
from hashlib import sha256

import pytest

from bridge.domain.task import ReadingKind
from bridge.net.client import HttpClient
from bridge.providers.auth import volcengine
from bridge.providers.calls import KeyPair
from bridge.providers.catalogue import DescriptionsRefused, load_descriptions
from bridge.providers.description import Description
from bridge.providers.provider import HttpProvider
from tests.loopback import Asked, answers, loopback
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
AUTHORIZATION = re.compile(
    r"HMAC-SHA256 Credential=[^/]+/(\d{8}/[^/]+/[^/]+/request), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
OWN = {"extends": "jimeng", "direct": {"hosts": ["127.0.0.1"]}}


def test_a_request_is_signed_as_the_vendors_own_packages_sign_it() -> None:
    url = f"https://visual.volcengineapi.com:443?{QUERY}"

    headers = {"Content-Type": "application/json"}
    assert volcengine("POST", url, headers, BODY, pair=PAIR, keys=KEYS, now=AT) == SIGNED


def test_path_and_query_are_signed_in_the_vendors_spelling_and_order() -> None:
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
    assert reading.kind is ReadingKind.SUCCEEDED
    assert (asked.method, asked.target) == ("POST", f"/?{QUERY}")
    assert json.loads(asked.body) == {"req_key": "jimeng_t2i", "task_id": "7392"}
    assert asked.headers["authorization"].startswith(f"HMAC-SHA256 Credential={ACCESS_KEY}/20251101/cn-north-1/cv/")
    sent = {"content-type": asked.headers["content-type"], "host": asked.headers["host"]}
    again = volcengine("POST", f"{server.url}/?{QUERY}", sent, asked.body, pair=PAIR, keys=KEYS, now=AT)
    assert asked.headers["authorization"] == again["Authorization"]


def _is_signed(asked: Asked, secret_key: str) -> bool:
    """Whether a request is signed as it was sent. Shares no code with the signing side, as it would prove nothing."""
    found = AUTHORIZATION.fullmatch(asked.headers.get("authorization", ""))
    digest = sha256(asked.body).hexdigest()
    if found is None or digest != asked.headers.get("x-content-sha256"):
        return False
    scope, names, signature = found.groups()
    path, _, query = asked.target.partition("?")
    signed = "".join(f"{name}:{asked.headers.get(name, '').strip()}\n" for name in names.split(";"))
    canonical = "\n".join((asked.method, path, "&".join(sorted(query.split("&"))), signed, names, digest))
    text = "\n".join(("HMAC-SHA256", asked.headers["x-date"], scope, sha256(canonical.encode()).hexdigest()))
    key = reduce(lambda key, part: hmac.digest(key, part.encode(), "sha256"), scope.split("/"), secret_key.encode())
    return hmac.digest(key, text.encode(), "sha256").hex() == signature


@pytest.mark.parametrize("path", ["", "/"])
@pytest.mark.parametrize("name", ["own", "jimeng"])
async def test_a_request_has_the_right_signature_as_it_is_sent(name: str, path: str) -> None:
    client = HttpClient(timeout_s=5, concurrency=1)
    async with loopback(answers(401, b"{}")) as server:
        provider = _signed(load_descriptions({"own": OWN})[name], f"{server.url}{path}", client)
        await provider.poll("7392/ü 1", "jimeng_t2i")
    await client.aclose()

    (asked,) = server.asked
    assert _is_signed(asked, SECRET_KEY)
    assert not _is_signed(asked, "another-secret")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "SignatureDoesNotMatch", ReadingKind.AUTH_ERROR),
        (400, "InvalidTimestamp", ReadingKind.AUTH_ERROR),
        (404, "InvalidActionOrVersion", ReadingKind.AUTH_ERROR),
        (200, "SomethingNew", ReadingKind.AUTH_ERROR),
        (429, "FlowLimitExceeded", ReadingKind.RATE_LIMITED),
        (500, "InternalServiceError", ReadingKind.TRANSIENT),
    ],
)
def test_an_answer_of_the_vendors_gateway_is_never_about_the_task(status: int, code: str, kind: ReadingKind) -> None:
    said = {"ResponseMetadata": {"RequestId": "r", "Error": {"CodeN": 100010, "Code": code, "Message": "not let in"}}}

    reading = reading_of(said, provider="jimeng", status=status, task_id="7392", action="jimeng_t2i")

    assert reading.kind is kind
    assert reading.detail.endswith(": not let in")


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (
            {"key_pair": {"region": None}},
            "jwt has the keys early and expired; a signature has the keys region and service",
        ),
        (
            {"key_pair": {"sign": "jwt"}},
            "jwt has the keys early and expired; a signature has the keys region and service",
        ),
        ({"key_pair": None}, "auth: signed needs key_pair: {sign: volcengine, region: REGION, service: SERVICE}"),
    ],
)
def test_a_description_that_cannot_sign_is_refused(own: dict[str, object], problem: str) -> None:
    with pytest.raises(DescriptionsRefused) as refused:
        load_descriptions({"own": {**OWN, **own}})

    assert problem in str(refused.value)
