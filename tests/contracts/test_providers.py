"""The promises of every provider, for the one that polls over HTTP and the fake of the engine's tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest

from bridge.domain.task import Reading, ReadingKind, Snapshot
from bridge.net.client import HttpClient
from bridge.ports import Provider
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.provider import HttpProvider
from tests.fakes import FakeClock, ScriptedProvider
from tests.loopback import Exchange, loopback
from tests.stopwatch import until
from tests.world import KEY, kling

TIMEOUT_S = 2.0
ACTION = "videos/text2video"
URL = "https://cdn.example.com/a.mp4"
SUCCEEDED = Reading(kind=ReadingKind.SUCCEEDED, snapshot=Snapshot(status="succeed", urls=(URL,)))


@dataclass
class Rig:
    """A provider and the server or script that it asks. `says` sets the answer about a task before the provider
    asks."""

    provider: Provider
    says: Callable[[str, str], None]
    hang: Callable[[], None]
    asked: Callable[[], list[str]]


def _answer(word: str, task_id: str) -> tuple[int, bytes]:
    """The HTTP answer that is read as this kind."""
    codes = {"not_found": (404, 1203), "auth_error": (401, 1002), "rate_limited": (429, 1302), "transient": (500, 5000)}
    if word in codes:
        status, code = codes[word]
        return status, json.dumps({"code": code, "message": "no", "request_id": "r"}).encode()
    words = {"pending": "submitted", "running": "processing", "succeeded": "succeed", "failed": "failed"}
    body: dict[str, Any] = kling(task_id, words[word], urls=[URL] if word == "succeeded" else None, message="why")
    return 200, json.dumps(body).encode()


async def _over_http(stack: AsyncExitStack) -> Rig:
    meant: dict[str, str] = {}
    hanging: list[bool] = []

    async def script(exchange: Exchange) -> None:
        task_id = exchange.asked.target.rsplit("/", 1)[-1]
        if hanging:
            await exchange.hang()
        assert exchange.asked.headers["authorization"] == f"Bearer {KEY}"
        await exchange.answer(*_answer(meant.get(task_id, "running"), task_id))

    server = await stack.enter_async_context(loopback(script))
    client = HttpClient(timeout_s=TIMEOUT_S, concurrency=8)
    stack.push_async_callback(client.aclose)
    return Rig(
        provider=HttpProvider(BUILT_IN["kling"], base_url=server.url, api_key=KEY, client=client),
        says=meant.__setitem__,
        hang=lambda: hanging.append(True),
        asked=lambda: [asked.target.rsplit("/", 1)[-1] for asked in server.asked],
    )


def _scripted() -> Rig:
    clock = FakeClock()
    provider, silent = ScriptedProvider(clock), ScriptedProvider(clock, answer_s=3600.0)

    def says(task_id: str, word: str) -> None:
        kind = ReadingKind(word)
        provider.scripts[task_id] = [SUCCEEDED if kind is ReadingKind.SUCCEEDED else Reading(kind=kind, detail="why")]

    def hang() -> None:
        made.provider = silent

    made = Rig(
        provider=provider, says=says, hang=hang, asked=lambda: [one for _, one in (*provider.asked, *silent.asked)]
    )
    return made


@pytest.fixture(params=["http", "scripted"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        yield await _over_http(stack) if request.param == "http" else _scripted()


@pytest.mark.parametrize(
    "word", ["pending", "running", "succeeded", "failed", "not_found", "auth_error", "rate_limited", "transient"]
)
async def test_every_answer_is_a_reading_of_its_kind(word: str, rig: Rig) -> None:
    rig.says("a", word)
    reading = await rig.provider.poll("a", ACTION)
    assert isinstance(reading, Reading)
    assert reading.kind == word
    assert reading.detail.isprintable()
    assert KEY not in reading.detail


async def test_success_comes_with_its_urls_and_without_a_reason(rig: Rig) -> None:
    rig.says("a", "succeeded")
    reading = await rig.provider.poll("a", ACTION)
    assert reading.snapshot is not None
    assert reading.snapshot.urls == (URL,)
    assert reading.detail == ""


async def test_each_call_sends_one_request_for_this_task(rig: Rig) -> None:
    for task_id in ("a", "b", "a"):
        await rig.provider.poll(task_id, ACTION)
    assert rig.asked() == ["a", "b", "a"]


async def test_many_tasks_polled_at_once_each_get_their_own_answer(rig: Rig) -> None:
    words = ["running", "succeeded", "failed", "not_found"] * 4
    readings: dict[int, Reading] = {}

    async def ask(number: int) -> None:
        readings[number] = await rig.provider.poll(f"task-{number}", ACTION)

    for number, word in enumerate(words):
        rig.says(f"task-{number}", word)
    async with anyio.create_task_group() as group:
        for number in range(len(words)):
            group.start_soon(ask, number)
    assert [readings[number].kind for number in range(len(words))] == words


async def test_a_poll_can_be_canceled_and_repeated(rig: Rig) -> None:
    rig.hang()
    for times in (1, 2):
        async with anyio.create_task_group() as asking:
            asking.start_soon(rig.provider.poll, "a", ACTION)
            await until(partial(_has_asked, rig, times))
            asking.cancel_scope.cancel()
    assert rig.asked() == ["a", "a"]


def _has_asked(rig: Rig, times: int) -> bool:
    return len(rig.asked()) >= times


async def test_an_unreachable_provider_is_a_reading() -> None:
    client = HttpClient(timeout_s=TIMEOUT_S, concurrency=1)
    try:
        nobody = HttpProvider(BUILT_IN["kling"], base_url="http://127.0.0.1:9", api_key=KEY, client=client)
        unreachable = await nobody.poll("a", ACTION)
        assert (unreachable.kind, unreachable.server_trouble) == (ReadingKind.TRANSIENT, True)
        assert (await nobody.poll("a", None)).kind is ReadingKind.AMBIGUOUS
    finally:
        await client.aclose()
