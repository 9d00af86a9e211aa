"""What accounts of the newer providers send over real HTTP, and how they read the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from bridge.domain.task import Json, ReadingKind
from bridge.net.client import HttpClient
from bridge.providers.catalogue import BUILT_IN, load_descriptions
from bridge.providers.description import Description
from bridge.providers.provider import HttpProvider
from tests.loopback import Exchange, Loopback, loopback

KEY = "canary-0123456789"
VIDEO = "https://cdn.example.com/v.mp4"


@asynccontextmanager
async def account(
    description: Description, answer: Callable[[str], tuple[int, Json]]
) -> AsyncIterator[tuple[HttpProvider, Loopback]]:
    """An account whose server answers each path with `answer`."""

    async def script(exchange: Exchange) -> None:
        status, body = answer(exchange.asked.target)
        await exchange.answer(status, orjson.dumps(body))

    client = HttpClient(timeout_s=5, concurrency=4)
    async with loopback(script) as server:
        yield HttpProvider(description, base_url=server.url, client=client, api_key=KEY), server
        await client.aclose()


def fal(result: tuple[int, Json]) -> Callable[[str], tuple[int, Json]]:
    done = {"status": "COMPLETED", "request_id": "r1"}
    return lambda target: (200, done) if target.endswith("/status") else result


async def test_fal_gets_two_requests_with_its_own_key_prefix() -> None:
    async with account(BUILT_IN["fal"], fal((200, {"video": {"url": VIDEO}}))) as (provider, server):
        reading = await provider.poll("r1", "fal-ai/veo3/fast")

    assert reading.kind is ReadingKind.SUCCEEDED
    assert [asked.target for asked in server.asked] == [
        "/fal-ai/veo3/requests/r1/status",
        "/fal-ai/veo3/requests/r1",
    ]
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Key {KEY}"}


async def test_only_a_permanent_refusal_of_fals_result_is_a_failure() -> None:
    detail = [{"loc": ["body", "prompt"], "msg": "at most 2500 characters", "type": "value_error"}]
    results: list[tuple[int, Json]] = [
        (422, {"detail": detail}),
        (400, {"detail": "Request is still in progress"}),
        (503, {"detail": "busy"}),
    ]
    readings = []
    for result in results:
        async with account(BUILT_IN["fal"], fal(result)) as (provider, _):
            readings.append(await provider.poll("r1", "fal-ai/veo3"))

    assert [reading.kind for reading in readings] == [ReadingKind.FAILED, ReadingKind.RUNNING, ReadingKind.TRANSIENT]
    assert readings[0].detail == "at most 2500 characters (value_error)"


async def test_comfyui_gets_no_key_and_an_empty_answer_means_running() -> None:
    async with account(BUILT_IN["comfyui"], lambda _: (200, {})) as (provider, server):
        reading = await provider.poll("p1", None)

    assert reading.kind is ReadingKind.RUNNING
    (asked,) = server.asked
    assert asked.target == "/history/p1"
    assert KEY not in str(asked.headers)


async def test_azure_is_polled_on_the_route_that_the_id_names() -> None:
    body = {"id": "", "status": "queued"}
    async with account(BUILT_IN["azure_openai"], lambda _: (200, body)) as (provider, server):
        await provider.poll("task_1", None)
        await provider.poll("video_1", None)

    assert [asked.target for asked in server.asked] == [
        "/openai/v1/video/generations/jobs/task_1?api-version=preview",
        "/openai/v1/videos/video_1?api-version=preview",
    ]
    assert {asked.headers["api-key"] for asked in server.asked} == {KEY}


async def test_siliconflow_is_polled_by_post_with_the_id_in_the_body() -> None:
    async with account(BUILT_IN["siliconflow"], lambda _: (200, {"status": "InProgress"})) as (provider, server):
        reading = await provider.poll("s1", None)

    assert reading.kind is ReadingKind.RUNNING
    (asked,) = server.asked
    assert (asked.method, asked.target, orjson.loads(asked.body)) == ("POST", "/v1/video/status", {"requestId": "s1"})


async def test_placeholders_in_headers_are_filled_and_the_accounts_headers_win() -> None:
    form: dict[str, Any] = {"task": "@", "id": "id", "status": "s", "words": {"running": ["r"]}, "results": []}
    ask = {
        "path": "/jobs",
        "headers": {"X-Task": "{id}", "X-Own": "{id}", "X-Plain": "p"},
        "batch": {"path": "/jobs", "query": {"ids": "{ids}"}, "headers": {"X-Task": "{ids}", "X-Own": "{ids}"}},
    }
    own = load_descriptions({"own": {"title": "T", "ask": ask, "forms": {"f": form}}})["own"]
    answered = {"1": {"id": "1", "s": "r"}}
    client = HttpClient(timeout_s=5, concurrency=4)

    async def script(exchange: Exchange) -> None:
        body: Json = list(answered.values()) if "ids=" in exchange.asked.target else answered["1"]
        await exchange.answer(200, orjson.dumps(body))

    async with loopback(script) as server:
        provider = HttpProvider(own, base_url=server.url, client=client, api_key=KEY, headers={"x-own": "mine"})
        one = await provider.poll("1", None)
        many = await provider.poll_batch(["1", "2"], None)
        await client.aclose()

    assert one.kind is ReadingKind.RUNNING
    assert isinstance(many, dict)
    assert [asked.headers["x-task"] for asked in server.asked] == ["1", "1,2"]
    assert [asked.headers["x-own"] for asked in server.asked] == ["mine", "mine"]
    assert [asked.headers["x-plain"] for asked in server.asked] == ["p", "p"]


async def test_an_unknown_task_names_the_action_in_its_address() -> None:
    async with account(BUILT_IN["magnific"], lambda _: (404, {"message": "Not found"})) as (provider, _):
        reading = await provider.poll("m1", "mystic")
    async with account(BUILT_IN["krea"], lambda _: (404, {"error": "Not found"})) as (provider, _):
        other = await provider.poll("k1", None)

    assert (reading.kind, reading.detail) == (ReadingKind.NOT_FOUND, "HTTP 404: Not found; action mystic")
    assert (other.kind, other.detail) == (ReadingKind.NOT_FOUND, "HTTP 404: Not found")
