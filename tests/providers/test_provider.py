"""An account that polls over real HTTP."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import orjson
import pytest

from bridge import __version__
from bridge.domain.task import ReadingKind
from bridge.net.client import NO_HEADERS, HttpClient
from bridge.ports import Provider
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.provider import HttpProvider
from tests.loopback import Exchange, Loopback, Script, answers, loopback
from tests.providers.reading_of import ACTION, TASK_ID, kling, videos

KEY = "sk-canary-0123456789"


@asynccontextmanager
async def _account(
    script: Script, *, headers: Mapping[str, str] = NO_HEADERS, timeout_s: float = 5
) -> AsyncIterator[tuple[Provider, Loopback]]:
    client = HttpClient(timeout_s=timeout_s, concurrency=4)
    async with loopback(script) as server:
        yield (
            HttpProvider(BUILT_IN["kling"], base_url=server.url, api_key=KEY, client=client, headers=headers),
            server,
        )
        await client.aclose()


async def test_the_documented_request_is_sent() -> None:
    async with _account(answers(200, orjson.dumps(kling("processing")))) as (provider, server):
        reading = await provider.poll(TASK_ID, "videos/avatar/image2video")

    (asked,) = server.asked
    assert reading.kind is ReadingKind.RUNNING
    assert (asked.method, asked.target) == ("GET", f"/kling/v1/videos/avatar/image2video/{TASK_ID}")
    assert asked.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "gzip",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "user-agent": f"genbridge/{__version__}",
    }


@pytest.mark.parametrize("task_id", ["..", "%2e%2e", "a/../b", "a b?c#d", "号", "%", "'\"<>\\"])
async def test_any_id_reaches_the_provider_as_one_segment(task_id: str) -> None:
    async with _account(answers(200, b"{}")) as (provider, server):
        await provider.poll(task_id, ACTION)

    target = server.asked[0].target
    assert target.startswith("/kling/v1/videos/text2video/")
    assert target.count("/") == 5
    assert not set(target) & set("?#")


async def test_the_accounts_headers_win_whatever_their_case() -> None:
    async with _account(answers(200, b"{}"), headers={"USER-AGENT": "mine", "x-extra": "1"}) as (provider, server):
        await provider.poll(TASK_ID, ACTION)

    assert (server.asked[0].headers["user-agent"], server.asked[0].headers["x-extra"]) == ("mine", "1")


async def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(orjson.dumps(videos("https://cdn.example.com/v.mp4")))
    async with _account(answers(200, body, {"Content-Encoding": "gzip"})) as (provider, _):
        assert (await provider.poll(TASK_ID, ACTION)).kind is ReadingKind.SUCCEEDED


async def test_without_an_action_no_request_is_sent_and_no_task_finishes() -> None:
    async with _account(answers(200, b"{}")) as (provider, server):
        reading = await provider.poll(TASK_ID, None)

    assert (reading.kind, server.asked) == (ReadingKind.AMBIGUOUS, [])
    assert reading.detail.startswith("not sent: neither the task nor its account has an action")
    assert reading.is_unsent


async def test_a_key_that_the_provider_quotes_is_not_repeated() -> None:
    body = orjson.dumps({"error": {"message": f"Invalid token {KEY}"}})
    async with _account(answers(401, body)) as (provider, _):
        reading = await provider.poll(TASK_ID, ACTION)

    assert reading.detail == "HTTP 401: Invalid token ***"


async def test_a_body_over_the_cap_is_ambiguous() -> None:
    async with _account(answers(200, b'{"code":0,"x":"' + b"y" * (1 << 20) + b'"}')) as (provider, _):
        reading = await provider.poll(TASK_ID, ACTION)

    assert (reading.kind, reading.detail) == (
        ReadingKind.AMBIGUOUS,
        (
            "HTTP 200: body over 1048576 bytes; to read larger answers, raise providers.kling.most_bytes "
            "(for a built-in provider, with extends: kling)"
        ),
    )


async def test_a_provider_that_hangs_is_given_up_at_the_deadline() -> None:
    async with _account(Exchange.hang, timeout_s=0.2) as (provider, server):
        with anyio.fail_after(20):
            reading = await provider.poll(TASK_ID, ACTION)

    assert (reading.kind, reading.server_trouble) == (ReadingKind.TRANSIENT, True)
    assert reading.detail == f"no answer from 127.0.0.1:{server.port} in time"


@pytest.mark.parametrize(
    ("name", "task_id", "action", "route"),
    [
        ("kling", TASK_ID, "videos/text2video", "videos/text2video"),
        ("kling", "https://api.example.com/kling/v1/videos/lip-sync/x", "videos/text2video", "videos/lip-sync"),
        ("replicate", TASK_ID, "videos/text2video", ""),
    ],
)
async def test_a_route_is_the_action_that_is_part_of_the_address(
    name: str, task_id: str, action: str, route: str
) -> None:
    client = HttpClient(timeout_s=5, concurrency=4)
    provider = HttpProvider(BUILT_IN[name], base_url="https://api.example.com", api_key=KEY, client=client)
    await client.aclose()
    assert provider.route(task_id, action) == route
