"""The built-in description of every provider reads the simulated vendor over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from bridge.domain.task import Reading, ReadingKind
from bridge.errors import UsageError
from bridge.net.client import HttpClient
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.provider import HttpProvider
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import DEFAULT_MESSAGE
from bridge.simulator.vendor import load_vendor, vendor_names
from tests.fakes import FakeClock
from tests.served import served

KEY = "sk-simulated"
ACTIONS = {
    "kling": "videos/text2video",
    "jimeng": "jimeng_vgfm_t2v_l20",
    "fal": "fal-ai/flux/dev",
    "runpod": "a1b2c3d4e5f6g7",
    "meshy": "openapi/v2/text-to-3d",
    "magnific": "image-to-video/kling-v2-5-pro",
}
KEYLESS = {"comfyui"}
SILENT = {"leonardo", "magnific", "synthesia"}  # they document no reason of a failure
WRITING = {"assemblyai"}  # its results are texts


@asynccontextmanager
async def provider_of(
    name: str, clock: FakeClock | None = None, *, key: str = KEY
) -> AsyncGenerator[HttpProvider, None]:
    simulated = SimulatedProvider(clock or FakeClock(), key=KEY, provider=name)
    async with served(simulated.app) as client:
        http = HttpClient(timeout_s=5.0, concurrency=4)
        base_url = str(client.base_url).rstrip("/")
        yield HttpProvider(BUILT_IN[name], base_url=base_url, api_key=key, client=http)
        await http.aclose()


def task_id(name: str, short: str) -> str:
    return f"models/veo-3/operations/{short}" if name == "veo" else short


async def ask(provider: HttpProvider, name: str, short: str) -> Reading:
    return await provider.poll(task_id(name, short), ACTIONS.get(name))


def test_every_built_in_provider_can_be_simulated() -> None:
    assert {*vendor_names()} == BUILT_IN.keys()


def test_an_unknown_provider_is_a_usage_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r'"pika" is not simulated; choose one of: .*kling'):
        SimulatedProvider(FakeClock(), provider="pika")


async def test_a_task_is_read_from_creation_to_success(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            clock = FakeClock()
            async with provider_of(name, clock) as provider:
                submitted = await ask(provider, name, "demo-9s-a")
                await clock.advance(6)
                running = await ask(provider, name, "demo-9s-a")
                await clock.advance(3)
                finished = await ask(provider, name, "demo-9s-a")
            assert submitted.kind in {ReadingKind.PENDING, ReadingKind.RUNNING}
            assert (running.kind, finished.kind) == (ReadingKind.RUNNING, ReadingKind.SUCCEEDED)
            assert finished.snapshot is not None
            assert bool(finished.snapshot.urls) == (name not in WRITING)
            assert finished.snapshot.refused == ()
            kinds = {"texts"} if name in WRITING else {"videos", "images", "audios", "files"}
            assert finished.snapshot.result.keys() <= kinds


@pytest.mark.usefixtures("unmeasured")
async def test_a_failure_is_read_with_its_reason(subtests: pytest.Subtests) -> None:
    for name in sorted({*vendor_names()} - {"avatar"}):
        with subtests.test(name):
            async with provider_of(name) as provider:
                failed = await ask(provider, name, "demo-fail-0s")
            assert failed.kind is ReadingKind.FAILED
            assert failed.snapshot is not None
            assert (DEFAULT_MESSAGE in failed.snapshot.message) == (name not in SILENT)
            assert failed.snapshot.urls == ()


async def test_a_digital_human_that_fails_keeps_running() -> None:
    async with provider_of("avatar") as provider:
        assert (await ask(provider, "avatar", "demo-fail-0s")).kind is ReadingKind.RUNNING


@pytest.mark.usefixtures("unmeasured")
async def test_a_task_that_never_finishes_keeps_running(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            clock = FakeClock()
            async with provider_of(name, clock) as provider:
                await ask(provider, name, "demo-never")
                await clock.advance(86400)
                assert (await ask(provider, name, "demo-never")).kind is ReadingKind.RUNNING


async def test_unknown_ids_and_wrong_keys_are_recognized(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            async with provider_of(name) as provider:
                unknown = await ask(provider, name, "857000000000000009")
            async with provider_of(name, key="sk-another") as stranger:
                refused = await ask(stranger, name, "demo-1")
            if name in KEYLESS:  # its answers about unknown and running prompts are the same
                assert (unknown.kind, refused.kind) == (ReadingKind.RUNNING, ReadingKind.RUNNING)
            else:
                assert unknown.kind in {ReadingKind.NOT_FOUND, ReadingKind.BAD_REQUEST}
                assert refused.kind is ReadingKind.AUTH_ERROR


@pytest.mark.parametrize("name", sorted(name for name in vendor_names() if BUILT_IN[name].ask.batch))
async def test_a_batch_answers_for_each_known_task(name: str) -> None:
    ids = ["demo-0s-a", "demo-fail-0s", "demo-9s-b", "857000000000000009"]
    async with provider_of(name) as provider:
        readings = await provider.poll_batch(ids, ACTIONS.get(name))
    assert not isinstance(readings, Reading)
    kinds = [readings[each].kind for each in ids]
    assert (kinds[0], kinds[1], kinds[3]) == (ReadingKind.SUCCEEDED, ReadingKind.FAILED, ReadingKind.NOT_FOUND)
    assert kinds[2] in {ReadingKind.PENDING, ReadingKind.RUNNING}


@pytest.mark.parametrize(("name", "is_list"), [("midjourney", True), ("luma", True), ("suno", False)])
async def test_a_batch_of_unknown_ids_is_answered_as_the_vendor_does(name: str, is_list: bool) -> None:
    async with provider_of(name) as provider:
        readings = await provider.poll_batch(["x", "y"], None)
    if is_list:
        assert not isinstance(readings, Reading)
        assert {reading.kind for reading in readings.values()} == {ReadingKind.NOT_FOUND}
    else:
        assert isinstance(readings, Reading), "the batch has no answer, so tasks are polled one by one"


@pytest.mark.parametrize(
    ("name", "short", "kinds"),
    [
        ("suno", "demo-audio-0s", {"audios": 2, "videos": 2, "images": 2}),
        ("suno", "demo-text-0s", {"texts": 1}),
        ("midjourney", "demo-images-0s", {"images": 1}),
        ("midjourney", "demo-video-0s", {"videos": 1}),
        ("midjourney", "demo-text-0s", {"texts": 1}),
        ("replicate", "demo-images-0s", {"images": 4}),
        ("replicate", "demo-video-0s", {"videos": 1}),
        ("replicate", "demo-audio-0s", {"audios": 1}),
        ("replicate", "demo-text-0s", {"texts": 1}),
        ("kling_v2", "demo-images-0s", {"images": 4}),
        ("kling_v2", "demo-audio-0s", {"audios": 2}),
        ("runway", "demo-video-0s", {"videos": 1}),
        ("unified_v2", "demo-images-0s", {"images": 4}),
        ("jimeng", "demo-images-0s", {"images": 4}),
        ("ark", "demo-video-0s", {"videos": 1, "images": 1}),
        ("ark", "demo-audio-0s", {"videos": 1, "images": 1}),  # it only makes videos
        ("flux", "demo-images-0s", {"images": 1}),
        ("vidu", "demo-0s", {"videos": 1}),
        ("minimax", "demo-0s", {"videos": 1}),
        ("openai_video", "demo-0s", {"videos": 1}),
    ],
)
async def test_a_task_makes_the_kind_of_result_that_its_id_names(name: str, short: str, kinds: dict[str, int]) -> None:
    async with provider_of(name) as provider:
        finished = await ask(provider, name, short)
    assert finished.snapshot is not None
    assert {kind: len(items) for kind, items in finished.snapshot.result.items()} == kinds


@pytest.mark.usefixtures("unmeasured")
async def test_every_result_can_be_downloaded_from_the_simulator(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            simulated = SimulatedProvider(FakeClock(), key=KEY, provider=name)
            key_headers = dict(load_vendor(name).key_headers(KEY))
            async with served(simulated.app, key=KEY) as client:
                http = HttpClient(timeout_s=5.0, concurrency=4)
                base_url = str(client.base_url).rstrip("/")
                provider = HttpProvider(BUILT_IN[name], base_url=base_url, api_key=KEY, client=http)
                finished = await ask(provider, name, "demo-0s-a/b" if name == "kling" else "demo-0s")
                await http.aclose()
                assert finished.snapshot is not None
                for url in finished.snapshot.urls:
                    assert url.startswith(base_url)
                    assert (await client.get(url, headers=key_headers)).status_code == 200


async def test_progress_is_reported_by_the_vendors_that_document_it() -> None:
    reporting = set()
    for name in vendor_names():
        clock = FakeClock()
        async with provider_of(name, clock) as provider:
            await ask(provider, name, "demo-10s")
            await clock.advance(5)
            running = await ask(provider, name, "demo-10s")
            assert running.snapshot is not None
            if running.snapshot.progress is not None:
                assert 49 <= running.snapshot.progress <= 51, name
                reporting.add(name)
    assert reporting == {
        *("newapi", "unified_v2", "suno", "midjourney", "openai_video", "flux", "replicate", "runway", "vidu", "xai"),
        *("meshy", "tripo", "novita"),
    }


async def test_downloads_of_openais_videos_need_the_key() -> None:
    simulated = SimulatedProvider(FakeClock(), key=KEY)
    async with served(simulated.app, key=KEY) as client:
        content = await client.get("/v1/videos/demo-0s/content")
        early = await client.get("/v1/videos/demo-9s/content")
        refused = await client.get("/v1/videos/demo-0s/content", headers={"authorization": "Bearer wrong"})
    assert (content.status_code, content.headers["content-type"]) == (200, "video/mp4")
    assert (early.status_code, refused.status_code) == (404, 401)


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/v1/get_result?id=demo-1", {"x-key": KEY}),
        ("/ent/v2/tasks/demo-1/creations", {"authorization": f"Token {KEY}"}),
        ("/v1beta/models/veo-3/operations/demo-1", {"x-goog-api-key": KEY}),
        ("/mj/task/demo-1/fetch", {"mj-api-secret": KEY}),
        ("/v1/predictions/demo-1", {"authorization": f"Token {KEY}"}),
    ],
)
async def test_the_key_is_accepted_in_each_header_that_a_vendor_documents(path: str, header: dict[str, str]) -> None:
    async with served(SimulatedProvider(FakeClock(), key=KEY).app) as client:
        assert (await client.get(path, headers=header)).status_code == 200
        assert (await client.get(path, headers={"x-another": KEY})).status_code in {401, 403}


async def test_the_chosen_provider_answers_paths_that_several_share() -> None:
    path = "/kling/v1/videos/text2video/demo-0s"
    async with served(SimulatedProvider(FakeClock()).app) as client:
        kling = (await client.get(path)).json()
        listed = (await client.get("/v1/videos/text2video")).json()
        video = (await client.get("/v1/videos/demo-0s")).json()
    async with served(SimulatedProvider(FakeClock(), provider="newapi").app) as client:
        newapi = (await client.get(path)).json()
        nowhere = (await client.get("/nowhere")).json()
    async with served(SimulatedProvider(FakeClock(), provider="openai_video").app) as client:
        as_video = await client.get("/v1/videos/text2video")
    assert kling["data"]["task_status"] == "succeed"
    assert listed["code"] == 0
    assert video["object"] == "video"
    assert newapi["data"]["status"] == "SUCCESS"
    assert nowhere["code"] == "task_not_exist"
    assert as_video.json()["error"]["message"] == "Video not found."


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'{"ids": 5}', b'{"ids": [1]}', b"{}", b"--x\r\n", b"[" * 900])
async def test_an_invalid_batch_gets_the_vendors_own_error(body: bytes) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        for path in ("/suno/fetch", "/mj/task/list-by-condition", "/luma/tasks"):
            answer = await client.post(path, content=body)
            assert answer.status_code == 400
            assert answer.json()


async def test_an_unknown_method_is_405_by_default() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        answer = await client.delete("/suno/fetch/x")
    assert (answer.status_code, answer.json()) == (405, {"error": {"message": "method not allowed"}})


async def test_texts_are_the_same_everywhere() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        lyrics = (await client.get("/suno/fetch/demo-text-0s")).json()["data"]["data"]["text"]
        tokens = (await client.get("/v1/predictions/demo-text-0s")).json()["output"]
    assert "".join(tokens).strip() in lyrics


async def test_a_task_created_at_one_vendor_can_be_polled_at_another() -> None:
    """An aggregator with several APIs works like this."""
    async with served(SimulatedProvider(FakeClock()).app) as client:
        own = (
            await client.post("/kling/text-to-video/kling-3.0", json={"options": {"external_task_id": "o-1"}})
        ).json()
        by_external_id = (await client.get("/tasks", params={"external_task_ids": "o-1"})).json()["data"]
        other = (await client.get(f"/v1/video/generations/{own['data']['id']}")).json()
    assert [each["id"] for each in by_external_id] == [own["data"]["id"]]
    assert other["data"]["task_id"] == own["data"]["id"]


HOSTILE: list[bytes] = [
    *(b"{}", b"{", b"null", b"\xff", b"--x\r\n\r\n", b"[" * 2000, b'{"a":' * 900 + b"1" + b"}" * 900),
    b'{"id": 3, "ids": [{}], "task_id": [], "file_id": "", "input": 3, "model": 1e400, "prompt": {"a": null}}',
    b'{"options": [], "external_task_id": {}, "pageNum": [], "ids": ""}',
]


@pytest.mark.usefixtures("unmeasured")
async def test_hostile_requests_never_cause_a_server_error(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            async with served(SimulatedProvider(FakeClock(), provider=name).app) as client:
                for route in load_vendor(name).routes:
                    path = re.sub(r"\{.*?\}+", "videos", route.path)
                    queries = "?" + "&".join(f"{key}={value}" for key, value in route.query.items())
                    strange = [
                        (f"{queries}&id=%FF&task_id=%00&task_ids=,,&ids=&pageNum=x", b""),
                        *((queries, body) for body in HOSTILE),
                    ]
                    for query, body in strange:
                        answer = await client.request(route.method, path + query, content=body)
                        assert answer.status_code < 500, (route.method, path, query, body[:40])
