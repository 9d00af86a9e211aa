from __future__ import annotations

from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest

from bridge.simulator.simulated_provider import MAX_BODY_BYTES, SimulatedProvider
from bridge.simulator.simulated_task import Script, SimulatedResult
from tests.fakes import START, FakeClock
from tests.served import served

KEY = "sk-test"
BOTH_PREFIXES = pytest.mark.parametrize("prefix", ["/kling/v1", "/v1"])
START_MS = int(START * 1000)


def envelope(answer: httpx.Response) -> tuple[int, int, str]:
    body = answer.json()
    assert isinstance(body["request_id"], str)
    return answer.status_code, body["code"], body["message"]


async def data(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert envelope(answer) == (200, 0, "SUCCEED")
    found = answer.json()["data"]
    assert isinstance(found, dict)
    return found


@BOTH_PREFIXES
async def test_a_planned_task_goes_from_submitted_to_processing_to_succeed(prefix: str) -> None:
    clock = FakeClock()
    provider = SimulatedProvider(clock, key=KEY)
    provider.plan("857000000000000001", Script(lasts_s=60.0), external_id="order-1001")
    path = f"{prefix}/videos/text2video/857000000000000001"
    async with served(provider.app, key=KEY) as client:
        submitted = await data(client, path)
        await clock.advance(5)
        processing = await data(client, path)
        await clock.advance(55)
        succeeded = await data(client, path)
        url = succeeded["task_result"]["videos"][0]["url"]
        assert url == f"{client.base_url}/files/857000000000000001/video.mp4"
    common = {
        "task_id": "857000000000000001",
        "task_status_msg": "",
        "task_info": {"external_task_id": "order-1001"},
        "created_at": START_MS,
    }
    assert submitted == common | {"task_status": "submitted", "updated_at": START_MS}
    assert processing == common | {"task_status": "processing", "updated_at": START_MS + 2000}
    assert succeeded == common | {
        "task_status": "succeed",
        "updated_at": START_MS + 60_000,
        "task_result": {"videos": [{"id": "85700000000000000101", "url": url, "duration": "5.1"}]},
        "final_unit_deduction": "2",
    }
    assert provider.polls == {"857000000000000001": 3}
    assert provider.finished_at == {"857000000000000001": START + 60}


async def test_a_planned_failure_has_its_reason() -> None:
    provider = SimulatedProvider(FakeClock(), key=KEY)
    provider.plan("f-1", Script(result=SimulatedResult.FAILURE, lasts_s=0.0, message="content blocked"))
    async with served(provider.app, key=KEY) as client:
        failed = await data(client, "/kling/v1/videos/image2video/f-1")
    assert (failed["task_status"], failed["task_status_msg"]) == ("failed", "content blocked")


async def test_a_task_may_finish_before_its_first_poll() -> None:
    clock = FakeClock()
    provider = SimulatedProvider(clock)
    provider.plan("old", Script(lasts_s=20.0), created_at=clock.steady() - 60)
    async with served(provider.app) as client:
        assert (await data(client, "/v1/videos/text2video/old"))["task_status"] == "succeed"
    assert provider.finished_at == {"old": START - 40}


async def test_the_first_poll_of_a_demo_id_creates_its_task() -> None:
    clock = FakeClock()
    provider = SimulatedProvider(clock)
    path = "/kling/v1/images/generations/demo-images-5s"
    async with served(provider.app) as client:
        await clock.advance(100)
        first = await data(client, path)
        await clock.advance(5)
        finished = await data(client, path)
    assert (first["task_status"], first["created_at"]) == ("submitted", START_MS + 100_000)
    assert len(finished["task_result"]["images"]) == 4
    assert provider.finished_at == {"demo-images-5s": START + 105}


@pytest.mark.parametrize("task_id", ["demo-a/b", "demo-%41?x#y", "demo- Katze 猫", "demo-..", "demo-a+b=="])
async def test_ids_of_every_shape_are_returned_unchanged(task_id: str) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        answer = await data(client, f"/kling/v1/videos/avatar/image2video/{quote(task_id, safe='')}")
    assert answer["task_id"] == task_id


@BOTH_PREFIXES
@pytest.mark.parametrize("task_id", ["857000000000000009", "demo", "0"])
async def test_an_unknown_id_is_404_with_code_1203(prefix: str, task_id: str) -> None:
    provider = SimulatedProvider(FakeClock(), key=KEY)
    async with served(provider.app, key=KEY) as client:
        answer = await client.get(f"{prefix}/videos/text2video/{task_id}")
    assert envelope(answer) == (404, 1203, "The requested resource does not exist")
    assert provider.polls == {}


@pytest.mark.parametrize("path", ["/", "/kling/v1/videos", "/pika/tasks/x"])
async def test_an_unknown_path_is_404_with_code_1203(path: str) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        assert envelope(await client.get(path)) == (404, 1203, "The requested resource does not exist")


async def test_an_unknown_method_is_404_with_code_1202() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        assert envelope(await client.delete("/v1/videos/text2video/x"))[:2] == (404, 1202)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Token {KEY}", KEY, b"Bearer \xff"])
async def test_without_the_right_key_every_request_is_401_with_code_1002(authorization: str | bytes | None) -> None:
    provider = SimulatedProvider(FakeClock(), key=KEY)
    headers = {} if authorization is None else {"authorization": authorization}
    async with served(provider.app) as client:
        polled = await client.get("/kling/v1/videos/text2video/demo-1", headers=headers)  # type: ignore[arg-type]
        created = await client.post("/v1/videos/text2video", headers=headers, json={})  # type: ignore[arg-type]
    for answer in (polled, created):
        assert envelope(answer) == (401, 1002, "Authorization is invalid")
    assert provider.polls == {}


@BOTH_PREFIXES
async def test_a_create_call_gets_the_documented_answer_and_a_pollable_id(prefix: str) -> None:
    clock = FakeClock()
    provider = SimulatedProvider(clock, key=KEY)
    async with served(provider.app, key=KEY) as client:
        answer = await client.post(f"{prefix}/videos/text2video", json={"prompt": "a cat", "external_task_id": "o-1"})
        created = answer.json()["data"]
        await clock.advance(10)
        by_id = await data(client, f"{prefix}/videos/text2video/{created['task_id']}")
        by_external_id = await data(client, f"{prefix}/videos/text2video/o-1")
    assert envelope(answer) == (200, 0, "SUCCEED")
    assert created == {
        "task_id": created["task_id"],
        "task_info": {"external_task_id": "o-1"},
        "task_status": "submitted",
        "created_at": START_MS,
        "updated_at": START_MS,
    }
    assert created["task_id"].startswith("857")
    assert len(created["task_id"]) == 18
    assert by_id["task_status"] == "succeed"
    assert by_external_id == by_id
    assert provider.polls == {created["task_id"]: 2}


@pytest.mark.parametrize(
    ("action", "external_id", "key"),
    [
        ("videos/text2video", "", "videos"),
        ("videos/avatar/image2video", "", "videos"),
        ("images/generations", "", "images"),
        ("audio/text-to-audio", "", "audios"),
        ("videos/text2video", "demo-images-3s", "images"),
    ],
)
async def test_a_created_tasks_result_depends_on_its_action_or_demo_id(action: str, external_id: str, key: str) -> None:
    clock = FakeClock()
    async with served(SimulatedProvider(clock).app) as client:
        created = (await client.post(f"/v1/{action}", json={"external_task_id": external_id})).json()["data"]
        await clock.advance(10)
        finished = await data(client, f"/v1/{action}/{created['task_id']}")
    assert list(finished["task_result"]) == [key]


async def test_speech_has_succeeded_when_it_is_created() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        created = (await client.post("/v1/audio/tts", json={"text": "hello"})).json()["data"]
        assert created["task_status"] == "succeed"
        assert set(created["task_result"]["audios"][0]) == {"id", "url", "duration"}


async def test_created_ids_never_repeat_even_after_a_restart() -> None:
    clock = FakeClock()
    ids: set[str] = set()
    for _ in range(2):
        async with served(SimulatedProvider(clock).app) as client:
            answers = [await client.post("/v1/videos/text2video") for _ in range(3)]
        ids |= {answer.json()["data"]["task_id"] for answer in answers}
        await clock.advance(1)
    assert len(ids) == 6


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"text"', b'{"external_task_id": 5}', b'{"external_task_id": "%s"}' % (b"x" * 513)],
)
async def test_an_invalid_create_is_400_with_code_1201(body: bytes) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        assert envelope(await client.post("/v1/videos/text2video", content=body))[:2] == (400, 1201)


async def test_a_create_above_the_size_limit_is_400() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        answer = await client.post("/v1/videos/image2video", content=b" " * (MAX_BODY_BYTES + 1))
    assert envelope(answer)[:2] == (400, 1201)


async def test_an_external_id_cannot_be_used_twice() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        await client.post("/v1/videos/text2video", json={"external_task_id": "o-1"})
        again = await client.post("/v1/videos/text2video", json={"external_task_id": "o-1"})
    assert envelope(again) == (400, 1201, "external_task_id exists already")


async def test_a_client_that_disconnects_in_the_middle_of_a_create_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        port = client.base_url.port
        assert port is not None
        async with await anyio.connect_tcp("127.0.0.1", port) as leaver:
            await leaver.send(b"POST /v1/videos/text2video HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{")
            await anyio.sleep(0.1)
        await anyio.sleep(0.1)
    assert caplog.records == []


async def test_the_list_has_pages_with_the_tasks_of_one_action_newest_first() -> None:
    clock = FakeClock()
    provider = SimulatedProvider(clock)
    for number in range(5):
        provider.plan(f"v{number}", Script(), action="videos/avatar/image2video")
    provider.plan("other", Script(), action="videos/text2video")
    async with served(provider.app) as client:
        pages = [
            (await client.get(f"/v1/videos/avatar/image2video?pageNum={page}&pageSize=2")).json()["data"]
            for page in (1, 2, 3, 4)
        ]
        everything = (await client.get("/v1/videos/text2video")).json()
    assert [[task["task_id"] for task in page] for page in pages] == [["v4", "v3"], ["v2", "v1"], ["v0"], []]
    assert [task["task_status"] for task in everything["data"]] == ["submitted"]
    assert everything["code"] == 0


@pytest.mark.parametrize("query", ["pageNum=0", "pageNum=1001", "pageSize=501", "pageSize=x", "pageSize=%C2%B2"])
async def test_a_page_out_of_bounds_is_400_with_code_1201(query: str) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        assert envelope(await client.get(f"/v1/videos/text2video?{query}"))[:2] == (400, 1201)


@pytest.mark.parametrize(
    ("task_id", "media_type", "magic"),
    [
        ("demo-video-0s", "video/mp4", b"ftyp"),
        ("demo-images-0s", "image/png", b"\x89PNG"),
        ("demo-audio-0s-a/b", "audio/mpeg", b"ID3"),
    ],
)
async def test_result_urls_work_without_a_key(task_id: str, media_type: str, magic: bytes) -> None:
    async with served(SimulatedProvider(FakeClock(), key=KEY).app, key=KEY) as client:
        finished = await data(client, f"/v1/videos/text2video/{quote(task_id, safe='')}")
        first = next(iter(finished["task_result"].values()))[0]
        url = first.get("url") or first["url_mp3"]
        async with httpx.AsyncClient(trust_env=False) as anybody:
            file = await anybody.get(url)
            assert (await anybody.get(f"{client.base_url}/files/x/y.exe")).status_code == 404
    assert (file.status_code, file.headers["content-type"]) == (200, media_type)
    assert magic in file.content


@pytest.mark.usefixtures("unmeasured")
async def test_concurrent_polls_are_all_answered_and_counted() -> None:
    provider = SimulatedProvider(FakeClock(), key=KEY)
    for number in range(500):
        provider.plan(str(number), Script())
    async with served(provider.app, key=KEY) as client, anyio.create_task_group() as group:

        async def poll(numbers: range) -> None:
            for number in numbers:
                assert (await client.get(f"/v1/videos/text2video/{number}")).status_code == 200

        for first in range(16):
            group.start_soon(poll, range(first, 500, 16))
    assert provider.polls.total() == 500
