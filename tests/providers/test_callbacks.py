"""The content of callbacks of each provider, and what their signatures prove."""

from __future__ import annotations

import base64
import hmac
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.domain.callback import MAX_IDS, Callback, CallbackProof, CallbackRequest
from bridge.errors import ConfigError
from bridge.providers.callbacks import DescribedCallbacks, KeySet, callback_reader
from bridge.providers.catalogue import BUILT_IN, load_descriptions

DATA: Final = Path(__file__).parents[1] / "data"
KLING: Final = json.loads((DATA / "notify/kling_callback_signature_vector.json").read_text())
STANDARD: Final = json.loads((DATA / "notify/standard_webhooks_vector.json").read_text())
WHSEC: Final = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
NOW: Final = 1_762_000_000.0
PATH: Final = "/callbacks/acct/secret"


async def no_keys(url: str) -> bytes | None:
    raise AssertionError(f"nothing is fetched from {url}")


def reader(provider: str, *secrets: str, api_key: str = "k", base_url: str = "") -> DescribedCallbacks:
    return callback_reader(BUILT_IN[provider], base_url=base_url, api_key=api_key, secrets=secrets, fetch=no_keys)


def posted(body: Any, headers: dict[str, str] | None = None) -> CallbackRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CallbackRequest(headers=headers or {}, body=raw, path=PATH)


def said(provider: str, body: Any) -> Callback:
    return reader(provider).read(posted(body), now=NOW)


def standard_headers(secret: str, body: bytes, *, at: float = NOW) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    proof = base64.b64encode(hmac.digest(key, b"msg_1.%d." % at + body, "sha256")).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,{proof}"}


@pytest.mark.parametrize(
    ("provider", "body", "ids", "status"),
    [
        ("kling", json.loads((DATA / "kling/callback_legacy.json").read_text()), "857000000000000001 order-1001", None),
        ("kling", {"task_id": "1", "task_status": "succeed", "task_info": {"external_task_id": "o-1"}}, "1 o-1", None),
        ("kling_v2", {"id": "2", "status": "processing", "external_id": "o-2"}, "2 o-2", "processing"),
        ("replicate", {"id": "ufawqhfynnddngldkgtslldrkq", "status": "succeeded"}, None, "succeeded"),
        ("midjourney", {"id": "1320098173412546", "status": "SUCCESS", "imageUrl": "https://c/1.png"}, None, "SUCCESS"),
        ("suno", {"code": "success", "data": {"task_id": "s-1", "status": "SUCCESS"}}, "s-1", "SUCCESS"),
        ("minimax", {"task_id": 115334141465231360, "status": "success"}, "115334141465231360", "success"),
        ("luma", {"id": "l-1", "state": "dreaming"}, "l-1", "dreaming"),
        ("vidu", {"id": "v-1", "state": "success", "creations": []}, "v-1", "success"),
        ("flux", {"id": "f-1", "status": "Ready", "result": {"sample": "https://c/1.png"}}, "f-1", "Ready"),
        ("fal", {"request_id": "r-1", "gateway_request_id": "r-2", "status": "OK"}, "r-1 r-2", "OK"),
        ("kie", {"code": 200, "data": {"taskId": "k-1", "state": "success"}}, "k-1", "success"),
        ("kie_suno", {"code": 200, "msg": "ok", "data": {"callbackType": "text", "task_id": "k-2"}}, "k-2", None),
        ("runpod", {"id": "c80ffee4-u1", "status": "COMPLETED", "output": {}}, "c80ffee4-u1", "COMPLETED"),
        ("ark", {"id": "cgt-1", "status": "running"}, "cgt-1", "running"),
        ("piapi", {"timestamp": 1723018391, "data": {"task_id": "p-1", "status": "completed"}}, "p-1", "completed"),
        ("wavespeed", {"id": "w-1", "status": "completed", "outputs": []}, "w-1", "completed"),
        ("hedra", {"job_id": "job_1", "status": "COMPLETED", "outputs": []}, "job_1", "COMPLETED"),
        ("novita", {"event_type": "ASYNC_TASK_RESULT", "payload": {"task": {"task_id": "n-1"}}}, "n-1", None),
    ],
)  # fmt: skip
def test_the_ids_and_the_status_are_read(provider: str, body: Any, ids: str | None, status: str | None) -> None:
    callback = said(provider, body)
    expected = (body.get("task_id") or body["id"]) if ids is None else ids
    assert callback.ids == tuple(expected.split())
    assert status is None or callback.status == status
    assert callback.proof is CallbackProof.UNSIGNED


def test_klings_published_vector_is_accepted_but_a_changed_body_is_not() -> None:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name: KLING[name] for name in names}
    kling = reader("kling_v2", KLING["secret"])
    now = float(KLING["webhook-timestamp"]) + 60

    assert kling.read(posted(KLING["body"].encode(), headers), now=now).proof is CallbackProof.SIGNED
    assert kling.read(posted(KLING["body"].encode() + b" ", headers), now=now).proof is CallbackProof.FORGED


def test_one_of_several_signatures_and_one_of_several_secrets_is_enough() -> None:
    names = ("webhook-id", "webhook-timestamp")
    headers = {name: STANDARD[name] for name in names}
    request = posted(STANDARD["body"].encode(), {**headers, "webhook-signature": STANDARD["webhook-signature"]})
    rotating = posted(
        STANDARD["body"].encode(), {**headers, "webhook-signature": STANDARD["webhook-signature_during_rotation"]}
    )
    now = float(STANDARD["webhook-timestamp"])

    assert reader("replicate", WHSEC, STANDARD["secret"]).read(request, now=now).proof is CallbackProof.SIGNED
    assert reader("replicate", STANDARD["previous_secret"]).read(rotating, now=now).proof is CallbackProof.SIGNED
    assert reader("replicate", STANDARD["previous_secret"]).read(request, now=now).proof is CallbackProof.FORGED


@pytest.mark.parametrize("age_s", [301, -301])
def test_a_signature_of_another_time_is_stale(age_s: int) -> None:
    body = b'{"id": "a"}'
    headers = standard_headers(WHSEC, body, at=NOW - age_s)
    assert reader("replicate", WHSEC).read(posted(body, headers), now=NOW).proof is CallbackProof.STALE


def test_an_unsigned_callback_is_refused_only_if_the_account_has_a_secret() -> None:
    body = {"id": "a"}
    assert reader("replicate").read(posted(body), now=NOW).proof is CallbackProof.UNSIGNED
    assert reader("replicate", WHSEC).read(posted(body), now=NOW).proof is CallbackProof.MISSING


@pytest.mark.parametrize("spoilt", ["v1,", "v1,!!", "v2,QUJD", "", "v1," + "A" * 100_000, "v1,\u00e9"])
def test_a_broken_signature_is_forged(spoilt: str) -> None:
    headers = {**standard_headers(WHSEC, b"{}"), "webhook-signature": spoilt}
    assert reader("replicate", WHSEC).read(posted(b"{}", headers), now=NOW).proof is CallbackProof.FORGED


@pytest.mark.parametrize("gone", ["webhook-id", "webhook-timestamp"])
def test_a_signature_without_one_of_its_headers_is_forged(gone: str) -> None:
    headers = standard_headers(WHSEC, b"{}")
    del headers[gone]
    assert reader("replicate", WHSEC).read(posted(b"{}", headers), now=NOW).proof is CallbackProof.FORGED


def test_kie_signs_the_id_and_the_time() -> None:
    signature = base64.b64encode(hmac.digest(b"hmac-key", b"k-1.1762000000", "sha256")).decode()
    headers = {"x-webhook-timestamp": "1762000000", "x-webhook-signature": signature}
    kie = reader("kie", "hmac-key")

    assert kie.read(posted({"data": {"taskId": "k-1"}}, headers), now=NOW).proof is CallbackProof.SIGNED
    assert kie.read(posted({"data": {"taskId": "k-2"}}, headers), now=NOW).proof is CallbackProof.FORGED
    assert kie.read(posted({"data": {}}, headers), now=NOW).proof is CallbackProof.FORGED


def test_flux_signs_the_body_in_hex() -> None:
    body = b'{"id": "f-1"}'
    headers = {"x-bfl-signature": "sha256=" + hmac.digest(b"ours", body, "sha256").hex()}
    assert reader("flux", "ours").read(posted(body, headers), now=NOW).proof is CallbackProof.SIGNED
    assert reader("flux", "other").read(posted(body, headers), now=NOW).proof is CallbackProof.FORGED


def test_wavespeed_signs_the_body_in_hex_with_the_text_of_its_secret() -> None:
    body = b'{"id": "w-1"}'
    proof = hmac.digest(b"MDEyMw", b"msg_1.1762000000." + body, "sha256").hex()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1762000000", "webhook-signature": f"v3,{proof}"}
    assert reader("wavespeed", "MDEyMw").read(posted(body, headers), now=NOW).proof is CallbackProof.SIGNED
    assert reader("wavespeed", "other").read(posted(body, headers), now=NOW).proof is CallbackProof.FORGED


def test_openrouter_signs_the_time_and_the_body_in_one_header() -> None:
    body = b'{"type": "video.generation.completed", "data": {"id": "job-1", "status": "completed"}}'
    proof = hmac.digest(b"or-secret", b"1762000000," + body, "sha256").hex()
    for header, secret, proven in (
        (f"t=1762000000,v1={proof}", "or-secret", CallbackProof.SIGNED),
        (f"v1={'0' * 64}, v1={proof}, t=1762000000", "or-secret", CallbackProof.SIGNED),
        (f"t=1762000000,v1={proof}", "other", CallbackProof.FORGED),
        (f"t=1762000001,v1={proof}", "or-secret", CallbackProof.FORGED),
        (f"v1={proof}", "or-secret", CallbackProof.FORGED),
    ):
        callback = reader("openrouter", secret).read(posted(body, {"x-openrouter-signature": header}), now=NOW)
        assert (callback.ids, callback.proof) == (("job-1",), proven)
    late = reader("openrouter", "or-secret").read(
        posted(body, {"x-openrouter-signature": f"t=1762000000,v1={proof}"}), now=NOW + 301
    )
    assert late.proof is CallbackProof.STALE


def test_magnific_signs_like_standard_webhooks() -> None:
    body = b'{"task_id": "m-1", "status": "COMPLETED", "generated": []}'
    callback = reader("magnific", WHSEC).read(posted(body, standard_headers(WHSEC, body)), now=NOW)
    assert (callback.ids, callback.proof) == (("m-1",), CallbackProof.SIGNED)


def vidu_headers(key: str, *, nonce: str = "n-1", at: float = NOW) -> dict[str, str]:
    """Headers with a signature as https://platform.vidu.com/docs/callback-signature demands."""
    date = format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
    text = f"POST\n{PATH}\n\nvidu\n{date}\nDate:{date}\nx-request-nonce:{nonce}\n"
    return {
        "date": date,
        "x-request-nonce": nonce,
        "x-hmac-signed-headers": "Date;x-request-nonce",
        "x-hmac-algorithm": "hmac-sha256",
        "x-hmac-access-key": "vidu",
        "x-hmac-signature": base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha256")).decode(),
    }


def test_vidu_signs_with_the_api_key_and_names_the_signed_headers() -> None:
    vidu = reader("vidu", api_key="vda_1", base_url="https://api.vidu.com")
    body = {"id": "v-1", "state": "success"}
    headers = vidu_headers("vda_1")

    assert vidu.read(posted(body, headers), now=NOW).proof is CallbackProof.SIGNED
    assert vidu.read(posted(body, {**headers, "x-request-nonce": "n-2"}), now=NOW).proof is CallbackProof.FORGED
    assert vidu.read(posted(body, vidu_headers("other")), now=NOW).proof is CallbackProof.FORGED
    assert vidu.read(posted(body, vidu_headers("vda_1", at=NOW - 400)), now=NOW).proof is CallbackProof.STALE
    assert (
        vidu.read(posted(body, {**headers, "x-hmac-signed-headers": "X;" * 50}), now=NOW).proof is CallbackProof.FORGED
    )


def test_the_key_of_an_aggregator_checks_no_signature_of_vidu() -> None:
    vidu = reader("vidu", api_key="sk-aggregator", base_url="https://api.example.com")
    assert vidu.read(posted({"id": "v-1"}, vidu_headers("vda_1")), now=NOW).proof is CallbackProof.UNSIGNED


class Published:
    """A published key set. Records each time when it is fetched."""

    def __init__(self, *keys: Ed25519PrivateKey) -> None:
        self.keys = keys
        self.fetched: list[str] = []
        self.is_down = False

    async def fetch(self, url: str) -> bytes | None:
        self.fetched.append(url)
        xs = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=") for key in self.keys]
        listed = [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in xs]
        return None if self.is_down else json.dumps({"keys": listed}).encode()


def fal_headers(
    key: Ed25519PrivateKey, body: bytes, prefix: str = "x-fal-webhook", id_name: str = "request-id"
) -> dict[str, str]:
    text = f"r-1\nu-1\n{int(NOW)}\n{sha256(body).hexdigest()}"
    return {
        f"{prefix}-{id_name}": "r-1",
        f"{prefix}-user-id": "u-1",
        f"{prefix}-timestamp": str(int(NOW)),
        f"{prefix}-signature": key.sign(text.encode()).hex(),
    }


async def test_fal_signs_with_a_key_of_its_key_set() -> None:
    old, new, body = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), b'{"request_id": "r-1"}'
    published = Published(old)
    fal = callback_reader(
        BUILT_IN["fal"], base_url="https://queue.fal.run", api_key="k", secrets=[], fetch=published.fetch
    )
    key_set = fal.key_set
    assert key_set is not None

    def proof(key: Ed25519PrivateKey, now: float = NOW) -> CallbackProof:
        return fal.read(posted(body, fal_headers(key, body)), now=now).proof

    assert proof(old) is CallbackProof.UNSIGNED  # there is no key yet to check it
    assert key_set.wait_s(NOW) == 0
    assert await key_set.refresh(NOW)
    assert published.fetched == ["https://rest.fal.ai/.well-known/jwks.json"]
    assert proof(old) is CallbackProof.SIGNED
    assert proof(old, NOW + 301) is CallbackProof.STALE
    assert key_set.wait_s(NOW + 1000) > 80_000
    assert proof(new) is CallbackProof.FORGED
    assert key_set.wait_s(NOW + 1000) == 0  # the provider may have new keys
    published.keys = (new,)
    assert await key_set.refresh(NOW + 1000)
    assert proof(new) is CallbackProof.SIGNED


async def test_ideogram_signs_the_same_lines_with_headers_of_its_own() -> None:
    key, body = Ed25519PrivateKey.generate(), b'{"generation_id": "r-1"}'
    published = Published(key)
    headers = fal_headers(key, body, "x-ideogram-webhook", "generation-id")
    ideogram = callback_reader(BUILT_IN["ideogram"], base_url="", api_key="k", secrets=[], fetch=published.fetch)
    assert ideogram.key_set is not None
    assert await ideogram.key_set.refresh(NOW)
    assert published.fetched == ["https://api.ideogram.ai/v1/.well-known/jwks.json"]
    callback = ideogram.read(posted(body, headers), now=NOW)
    assert (callback.ids, callback.proof) == (("r-1",), CallbackProof.SIGNED)


async def test_a_failed_fetch_keeps_the_old_keys_and_waits_before_a_retry() -> None:
    published = Published(Ed25519PrivateKey.generate())
    key_set = KeySet("https://keys.example.com", fetch=published.fetch)
    await key_set.refresh(0)
    published.is_down = True
    key_set.doubt()
    assert not await key_set.refresh(400)
    assert len(key_set.keys) == 1
    assert key_set.wait_s(400) == 300


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 1}', b'{"keys": [1, {"x": "!"}, {"x": "QUJD"}, {"x": 1}]}'])
async def test_a_broken_key_set_holds_no_key(body: bytes) -> None:
    async def fetch(url: str) -> bytes | None:
        return body

    assert not await KeySet("https://keys.example.com", fetch=fetch).refresh(0)


@pytest.mark.parametrize("provider", ["minimax", "minimax_v2", "vidu"])
def test_a_challenge_is_repeated(provider: str) -> None:
    assert said(provider, {"challenge": "abc"}).challenge == "abc"
    assert said(provider, {"challenge": 123}).challenge == 123


@pytest.mark.parametrize("challenge", ["x" * 1001, "", {"a": 1}, [1], True, None, 1.5])
def test_only_a_short_text_or_a_number_is_repeated(challenge: Any) -> None:
    assert said("minimax", {"challenge": challenge}).challenge is None


def test_a_provider_without_challenges_repeats_nothing() -> None:
    assert said("replicate", {"challenge": "abc"}).challenge is None


def test_values_of_keys_that_end_in_id_are_searched_first() -> None:
    body = {"specversion": "1.0", "data": {"url": "https://c/1", "task_id": "d-1", "nested": [{"jobId": 77}]}}
    callback = said("dashscope", body)
    assert callback.ids[:2] == ("d-1", "77")
    assert "1.0" in callback.ids


def test_a_described_provider_in_another_form_is_searched_too() -> None:
    assert "1" in said("kling", {"event": {"task": {"task_id": "1"}}}).ids


HOSTILE: Final = [
    b"",
    b"\xff\xfe",
    b"null",
    b'"id"',
    b"[" * 200_000,
    b'{"a":' * 50_000,
    b'{"id": ' + b"9" * 5000 + b"}",
    b'{"task_id": {"task_id": ["\\ud800"]}}',
    b'{"task_id": "' + b"x" * 5000 + b'"}',
    b'{"task_id": ["' + b'","'.join(b"%d" % number for number in range(20_000)) + b'"]}',
    b'{"id": NaN}',
    b'"\\' * 40_000,
    b'"' + b'\\"' * 40_000,
    b"{" + b",".join(b'"k%d": {"id": %d}' % (number, number) for number in range(20_000)) + b"}",
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("provider", ["kling", "minimax", "dashscope", "kie"])
def test_hostile_json_names_a_bounded_number_of_ids(provider: str, body: bytes) -> None:
    callback = said(provider, body)
    assert len(callback.ids) <= MAX_IDS
    assert all(len(task_id) <= 512 for task_id in callback.ids)


def test_ids_of_an_oversized_body_are_searched_in_its_beginning() -> None:
    body = b'{"id": "big-1", "output": "' + b"A" * (2 << 20) + b'", "other": "late-1"}'
    ids = said("replicate", body).ids
    assert "big-1" in ids
    assert "late-1" not in ids


@pytest.mark.parametrize(
    "before",
    ['"reason": ""', '"prompt": "' + "x" * 600 + '"', r'"prompt": "a\nb \"c\" \\"', '"a": "", "b": ""'],
    ids=range(4),
)
def test_ids_are_found_after_any_text_in_an_unparsed_body(before: str) -> None:
    body = f'{{{before}, "task": {{"name": "models\\/veo\\/operations\\/x", "task_id": "t-1"}}, "cut'.encode()
    ids = said("newapi", body).ids
    assert {"t-1", "models/veo/operations/x"} <= set(ids)


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ({"header": "x-sig", "text": "{payload}"}, "{payload} is not available here"),
        ({"header": "x-sig", "text": "{timestamp}"}, "write the name of its header under timestamp"),
        ({"header": "x-sig", "text": "{body}", "algorithm": "ed25519"}, "ed25519 needs secret: key_set"),
        (
            {"header": "x-sig", "text": "{body}", "algorithm": "ed25519", "secret": "key_set", "key_set": "http://k/"},
            "a key set must have an https:// address",
        ),
        ({"header": "x-sig", "text": "{signed_headers}"}, "needs the key signed_headers"),
    ],
)
def test_a_signature_that_cannot_be_checked_is_a_mistake(signature: dict[str, str], problem: str) -> None:
    tree = {"extends": "newapi", "callback": {"field": "hook", "id": "id", "signature": signature}}
    with pytest.raises(ConfigError) as refused:
        load_descriptions({"mine": tree})
    assert problem in str(refused.value)


def test_the_docs_have_the_callback_field_of_every_provider() -> None:
    page = (Path(__file__).parents[2] / "docs/callbacks.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| [^|`]*`([\w.-]+)`", page, re.MULTILINE)
    shown = {name: field for names, field in rows for name in names.replace("`", "").split(", ")}
    assert shown == {name: one.callback.field for name, one in BUILT_IN.items() if one.callback is not None}
