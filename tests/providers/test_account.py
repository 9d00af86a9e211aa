"""Special accounts polled over real HTTP: key pairs, batches, second requests, origins."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import orjson
import pytest

from bridge.domain.task import Reading, ReadingKind
from bridge.net.client import HttpClient
from bridge.ports import BatchKey
from bridge.providers.auth import JwtKey
from bridge.providers.catalogue import BUILT_IN, load_descriptions
from bridge.providers.description import Description
from bridge.providers.provider import HttpProvider
from tests.loopback import Exchange, Loopback, Script, answers, loopback
from tests.providers.reading_of import ACTION, TASK_ID, kling

DATA = Path(__file__).parent.parent / "data"
VECTOR = json.loads((DATA / "kling/jwt_vector.json").read_text())
KEYS = (VECTOR["access_key"], VECTOR["secret_key"])
KEY = "sk-canary-0123456789"


class Hands:
    """A clock that is moved by hand."""

    def __init__(self, at: float = 1_762_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


@asynccontextmanager
async def _account(
    provider: str | Description, script: Script, **settings: Any
) -> AsyncIterator[tuple[HttpProvider, Loopback]]:
    client = HttpClient(timeout_s=5, concurrency=4)
    description = BUILT_IN[provider] if isinstance(provider, str) else provider
    async with loopback(script) as server:
        settings = {"api_key": KEY} | settings if "pair" not in settings else settings
        yield HttpProvider(description, base_url=server.url, client=client, **settings), server
        await client.aclose()


def _in_turn(*scripts: Script) -> Script:
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


def _fixture(name: str, status: int = 200) -> Script:
    return answers(status, (DATA / name).read_bytes())


def _claims(token: str) -> Mapping[str, Any]:
    options: Any = {"verify_exp": False, "verify_nbf": False}
    return jwt.decode(token, VECTOR["secret_key"], algorithms=["HS256"], options=options)


def test_a_pair_of_keys_makes_the_documented_token() -> None:
    token = JwtKey(*KEYS, now=Hands(VECTOR["now"]).now).token()

    assert token == VECTOR["token"]
    assert jwt.get_unverified_header(token) == json.loads(VECTOR["header"])


def test_a_token_is_renewed_before_its_end_and_after_a_clock_change() -> None:
    clock = Hands()
    key = JwtKey(*KEYS, now=clock.now)
    first = key.token()

    clock.at += 1600
    assert key.token() == first
    clock.at += 100
    second = key.token()
    assert _claims(second)["exp"] == clock.at + 1800
    clock.at -= 3600
    assert _claims(key.token())["nbf"] == clock.at - 5


def test_a_short_secret_key_causes_no_warning() -> None:
    assert JwtKey("ak", "short", now=Hands().now).token()


@pytest.mark.parametrize(
    ("refusal", "early_s"),
    [("kling/code_1003_not_yet_valid_401.json", 300), ("kling/code_1004_token_expired_401.json", 5)],
)
async def test_a_token_refused_for_its_age_is_made_again_once(refusal: str, early_s: int) -> None:
    clock = Hands()
    script = _in_turn(_fixture(refusal, 401), answers(200, orjson.dumps(kling("processing"))))
    async with _account("kling", script, pair=KEYS, now=clock.now) as (provider, server):
        clock.at += 10
        reading = await provider.poll(TASK_ID, ACTION)

    tokens = [asked.headers["authorization"].removeprefix("Bearer ") for asked in server.asked]
    assert reading.kind is ReadingKind.RUNNING
    assert len(tokens) == 2
    assert _claims(tokens[1])["nbf"] == clock.at - early_s


async def test_a_token_refused_again_is_an_account_that_is_refused() -> None:
    script = _fixture("kling/code_1004_token_expired_401.json", 401)
    async with _account("kling", script, pair=KEYS, now=Hands().now) as (provider, server):
        reading = await provider.poll(TASK_ID, ACTION)

    assert (reading.kind, len(server.asked)) == (ReadingKind.AUTH_ERROR, 2)


async def test_a_refused_api_key_is_not_tried_again() -> None:
    async with _account("kling", _fixture("kling/code_1004_token_expired_401.json", 401)) as (provider, server):
        assert (await provider.poll(TASK_ID, ACTION)).kind is ReadingKind.AUTH_ERROR

    assert len(server.asked) == 1


async def test_secrets_that_a_provider_quotes_are_not_repeated() -> None:
    async def quote(exchange: Exchange) -> None:
        given = exchange.asked.headers
        said = f"bad token {given['authorization']} of {VECTOR['secret_key']}, {given['x-token']}, {given['x-client']}"
        await exchange.answer(401, orjson.dumps({"code": 1000, "message": said}))

    headers = {"X-Client": "genbridge", "X-Token": "open sesame"}
    async with _account("kling", quote, pair=KEYS, now=Hands().now, headers=headers) as (provider, _):
        reading = await provider.poll(TASK_ID, ACTION)

    assert reading.detail == "HTTP 401: code 1000: bad token Bearer *** of ***, ***, genbridge"


async def test_a_task_with_a_file_takes_two_requests_for_its_address() -> None:
    script = _in_turn(_fixture("minimax/success_needs_file.json"), _fixture("minimax/file_retrieve.json"))
    async with _account("minimax", script) as (provider, server):
        reading = await provider.poll("176843862716480", None)

    assert [asked.target for asked in server.asked] == [
        "/minimax/v1/query/video_generation?task_id=176843862716480",
        "/minimax/v1/files/retrieve?file_id=176844028768320",
    ]
    assert reading.kind is ReadingKind.SUCCEEDED
    assert reading.snapshot is not None
    assert reading.snapshot.urls == ("https://cdn.example.test/video/minimax.mp4",)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"<html>", ReadingKind.TRANSIENT),
        (429, b"{}", ReadingKind.RATE_LIMITED),
        (404, b'{"message":"no such file"}', ReadingKind.AMBIGUOUS),
        (404, b'{"error":{"message":"no such route"}}', ReadingKind.AMBIGUOUS),
        (410, b"{}", ReadingKind.AMBIGUOUS),
        (400, b'{"message":"no such file"}', ReadingKind.BAD_REQUEST),
        (501, b'{"message":"not implemented"}', ReadingKind.AMBIGUOUS),
        (200, b'{"base_resp":{"status_code":2013}}', ReadingKind.AMBIGUOUS),
        (200, b'{"base_resp":{"status_code":1004}}', ReadingKind.AUTH_ERROR),
        (200, b"{}", ReadingKind.AMBIGUOUS),
        (200, b"[]", ReadingKind.AMBIGUOUS),
    ],
)
async def test_a_second_request_that_fails_decides(status: int, body: bytes, kind: ReadingKind) -> None:
    script = _in_turn(_fixture("minimax/success_needs_file.json"), answers(status, body))
    async with _account("minimax", script) as (provider, _):
        reading = await provider.poll("176843862716480", None)

    assert reading.kind is kind


@pytest.mark.parametrize(
    ("meaning", "kind"), [("expired_result", ReadingKind.EXPIRED_RESULT), ("failed", ReadingKind.FAILED)]
)
async def test_a_second_answer_whose_code_ends_the_task_is_believed(meaning: str, kind: ReadingKind) -> None:
    own = load_descriptions({"own": {"extends": "minimax", "codes": {"means": {meaning: [4711]}}}})["own"]
    gone = answers(200, b'{"base_resp":{"status_code":4711,"status_msg":"expired"}}')
    async with _account(own, _in_turn(_fixture("minimax/success_needs_file.json"), gone)) as (provider, _):
        reading = await provider.poll("176843862716480", None)

    assert (reading.kind, reading.lacks_result) == (kind, False)


async def test_a_task_without_a_file_is_polled_once() -> None:
    async with _account("minimax", _fixture("minimax/processing.json")) as (provider, server):
        assert (await provider.poll("176843862716480", None)).kind is ReadingKind.RUNNING

    assert len(server.asked) == 1


SUNO = [f"346c0000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3, 4)]


async def test_tasks_are_polled_together_and_distinguished_by_their_ids() -> None:
    async with _account("suno", _fixture("suno/batch_mixed.json")) as (provider, server):
        readings = await provider.poll_batch(SUNO[::-1], None)

    (asked,) = server.asked
    assert not isinstance(readings, Reading)
    assert [readings[task_id].kind for task_id in SUNO] == ["running", "succeeded", "failed", "not_found"]
    assert (asked.method, asked.target) == ("POST", "/suno/fetch")
    assert asked.headers["content-type"] == "application/json"
    assert orjson.loads(asked.body) == {"ids": SUNO[::-1], "action": "MUSIC"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"<html>", ReadingKind.TRANSIENT),
        (404, b"{}", ReadingKind.NOT_FOUND),
        (429, b"{}", ReadingKind.RATE_LIMITED),
        (200, b'{"code":"success","data":null}', ReadingKind.AMBIGUOUS),
        (200, b'{"code":"success","data":[{"a":1}]}', ReadingKind.AMBIGUOUS),
        (200, b"3", ReadingKind.AMBIGUOUS),
        (200, b"", ReadingKind.TRANSIENT),
    ],
)
async def test_a_batch_that_fails_is_one_reading(status: int, body: bytes, kind: ReadingKind) -> None:
    async with _account("suno", answers(status, body)) as (provider, _):
        reading = await provider.poll_batch(SUNO, None)

    assert isinstance(reading, Reading)
    assert reading.kind is kind


async def test_an_empty_list_knows_none_of_the_tasks() -> None:
    async with _account("midjourney", answers(200, b"[]")) as (provider, _):
        readings = await provider.poll_batch(["1", "2"], None)

    assert not isinstance(readings, Reading)
    assert {reading.kind for reading in readings.values()} == {ReadingKind.NOT_FOUND}


async def test_a_task_in_a_list_without_a_status_is_known() -> None:
    body = b'[{"id":"1","status":null},{"id":"2","status":"SUBMITTED"}]'
    async with _account("midjourney", answers(200, body)) as (provider, _):
        readings = await provider.poll_batch(["1", "2", "3"], None)

    assert not isinstance(readings, Reading)
    assert [readings[task_id].kind for task_id in "123"] == [
        ReadingKind.AMBIGUOUS,
        ReadingKind.PENDING,
        ReadingKind.NOT_FOUND,
    ]


ENDED, UNDER_WAY, ELSEWHERE = (
    {"id": "1", "status": "SUCCESS", "imageUrl": "https://cdn.example.com/1.png"},
    {"id": "1", "status": "IN_PROGRESS"},
    {"id": 1, "status": "SUCCESS", "imageUrl": "https://cdn.example.com/2.png"},
)


@pytest.mark.parametrize(
    ("twice", "kind"),
    [
        ([ENDED, UNDER_WAY], ReadingKind.AMBIGUOUS),
        ([UNDER_WAY, ENDED], ReadingKind.AMBIGUOUS),
        ([ENDED, ELSEWHERE], ReadingKind.AMBIGUOUS),
        ([ENDED, {**ENDED, "progress": "100%"}], ReadingKind.SUCCEEDED),
        ([UNDER_WAY, {**UNDER_WAY, "status": "SUBMITTED"}], ReadingKind.RUNNING),
    ],
)
async def test_a_task_with_two_statuses_in_a_list_has_not_finished(twice: list[Any], kind: ReadingKind) -> None:
    listed = [*twice, {"id": "2", "status": "FAILURE"}]
    async with _account("midjourney", answers(200, orjson.dumps(listed))) as (provider, _):
        readings = await provider.poll_batch(["1", "2"], None)
        alone = await provider.poll("1", None)

    assert not isinstance(readings, Reading)
    assert (readings["1"].kind, readings["2"].kind) == (kind, ReadingKind.FAILED)
    assert alone.kind in {kind, ReadingKind.AMBIGUOUS}


@pytest.mark.parametrize(
    ("provider_name", "body", "kind"),
    [
        ("kling_v2", b'{"code":0,"data":[]}', ReadingKind.NOT_FOUND),
        ("kling_v2", b'{"code":0,"data":[{"id":"2","status":"failed"}]}', ReadingKind.AMBIGUOUS),
        ("kling_v2", b'{"code":0,"data":[{"id":"1","status":"failed"}]}', ReadingKind.FAILED),
        ("kling_v2", b'{"code":0,"data":{}}', ReadingKind.AMBIGUOUS),
        ("suno_feed", b"[]", ReadingKind.NOT_FOUND),
        ("suno", b'{"code":"success","data":[]}', ReadingKind.AMBIGUOUS),
    ],
)
async def test_an_empty_list_for_the_only_requested_task_means_not_found(
    provider_name: str, body: bytes, kind: ReadingKind
) -> None:
    async with _account(provider_name, answers(200, body)) as (provider, _):
        assert (await provider.poll("1", None)).kind is kind


async def test_tasks_that_fit_into_one_batch_have_equal_keys() -> None:
    async with _account("suno", answers(200)) as (suno, _), _account("kling", answers(200)) as (one_by_one, _):
        assert suno.batch_key("a", None) == suno.batch_key("b", "MUSIC") == BatchKey(name="MUSIC", most=50)
        assert suno.batch_key("c", "LYRICS") == BatchKey(name="LYRICS", most=50)
        assert suno.batch_key("a,b", None) is None
        assert one_by_one.batch_key("a", ACTION) is None
        assert isinstance(await one_by_one.poll_batch(["a"], ACTION), Reading)
    async with _account("midjourney", answers(200)) as (midjourney, _):
        assert midjourney.batch_key("1", "mj-fast") == midjourney.batch_key("2", None) == BatchKey(name="", most=50)


REGIONAL = "https://api.eu1.bfl.ai/v1/get_result?id=f1"


def _flux() -> Description:
    """Flux whose own hosts hold the one of this machine."""
    own = {"extends": "flux", "direct": {"hosts": ["127.0.0.1"]}}
    return load_descriptions({"own": own})["own"]


@pytest.mark.parametrize(("task_id", "action"), [("f1", "eu1"), (REGIONAL, None)])
async def test_a_key_is_not_sent_to_regions_outside_the_listed_origins(task_id: str, action: str | None) -> None:
    async with _account(_flux(), answers(200, b"{}")) as (provider, server):
        reading = await provider.poll(task_id, action)

    assert (reading.kind, server.asked) == (ReadingKind.AMBIGUOUS, [])
    assert reading.detail == (
        "not sent: the key must not be sent to api.eu1.bfl.ai; add https://api.eu1.bfl.ai to the account's origins"
    )


async def test_a_key_goes_to_no_unlisted_host_in_second_or_batch_requests() -> None:
    own = {
        "extends": "minimax",
        "ask": {
            "second": {"path": "https://files.example.net/{value}"},
            "batch": {"path": "https://lists.example.net/", "query": {"ids": "{ids}"}},
        },
    }
    async with _account(load_descriptions({"own": own})["own"], _fixture("minimax/success_needs_file.json")) as (
        provider,
        server,
    ):
        alone = await provider.poll("176843862716480", None)
        together = await provider.poll_batch(["1", "2"], None)

    assert len(server.asked) == 1
    assert "the key must not be sent to files.example.net" in alone.detail
    assert isinstance(together, Reading)
    assert "the key must not be sent to lists.example.net" in together.detail


@pytest.mark.parametrize(
    ("base_url", "origins"), [("http://localhost:1", ["https://*.bfl.ai"]), ("https://api.bfl.ai", [])]
)
async def test_a_region_that_is_listed_or_the_vendors_gets_the_key(base_url: str, origins: list[str]) -> None:
    own = load_descriptions({"own": {"extends": "flux", "direct": {"hosts": ["localhost", "api.bfl.ai"]}}})["own"]
    async with loopback(answers(502)) as server:
        client = HttpClient(timeout_s=5, concurrency=1, proxy=server.url)
        provider = HttpProvider(own, base_url=base_url, api_key=KEY, client=client, origins=origins)
        await provider.poll("f1", "eu1")
        await client.aclose()

    assert [(asked.method, asked.target) for asked in server.asked] == [("CONNECT", "api.eu1.bfl.ai:443")]


async def test_a_full_url_of_the_account_works_as_an_id() -> None:
    async with _account("suno", _fixture("suno/queued.json")) as (provider, server):
        single = await provider.poll(f"{server.url}/suno/fetch/{SUNO[0]}", None)
        together = await provider.poll_batch([f"{server.url}/suno/fetch/{SUNO[0]}", SUNO[0]], None)

    assert single.kind is ReadingKind.PENDING
    assert isinstance(together, Reading)
    assert [asked.target for asked in server.asked] == [f"/suno/fetch/{SUNO[0]}", "/suno/fetch"]
    assert orjson.loads(server.asked[1].body)["ids"] == [SUNO[0]]


async def test_a_key_may_be_in_the_query() -> None:
    own = load_descriptions({"own": {"extends": "minimax", "ask": {"auth": "query api_key"}}})["own"]
    async with _account(own, answers(200, b"{}")) as (provider, server):
        await provider.poll("7", None)

    asked = server.asked[0]
    assert parse_qs(urlsplit(asked.target).query) == {"task_id": ["7"], "api_key": [KEY]}
    assert "authorization" not in asked.headers


async def test_a_body_may_be_as_large_as_the_description_says() -> None:
    large = orjson.dumps({"code": 10000, "data": {"status": "done", "binary_data_base64": ["A" * (2 << 20)]}})
    async with _account("jimeng", answers(200, large)) as (provider, _):
        reading = await provider.poll("7391", "jimeng_t2i")

    assert reading.kind is ReadingKind.SUCCEEDED
    assert reading.detail == "1 file is inside the answer, without a URL: application/octet-stream, 1572864 bytes"
