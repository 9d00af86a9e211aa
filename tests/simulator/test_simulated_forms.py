"""Every built-in provider: the real reader, by the built-in description, asks the simulated one over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from bridge.domain.task import Kind, Reading
from bridge.net.client import HttpClient
from bridge.providers import created, descriptions
from bridge.providers.provider import HttpProvider
from bridge.simulator.forms import FORMS
from bridge.simulator.provider import SimulatedProvider
from bridge.simulator.tasks import REFUSED, WORDS, Ending
from tests.fakes import FakeClock
from tests.simulator.served import served

KEY = "sk-simulated"
ACTIONS = {"kling": "videos/text2video", "jimeng": "jimeng_vgfm_t2v_l20"}
EVERY = pytest.mark.parametrize("name", sorted(FORMS))


@asynccontextmanager
async def asking(
    name: str, clock: FakeClock | None = None, *, key: str = KEY, rate: int | None = None
) -> AsyncGenerator[HttpProvider, None]:
    simulated = SimulatedProvider(clock or FakeClock(), key=KEY, rate=rate)
    async with served(simulated.app) as client:
        http = HttpClient(timeout_s=5.0, concurrency=4)
        base_url = str(client.base_url).rstrip("/")
        yield HttpProvider(descriptions()[name], base_url=base_url, api_key=key, client=http)
        await http.aclose()


def task_id(name: str, short: str) -> str:
    return f"models/veo-3/operations/{short}" if name == "veo" else short


async def ask(provider: HttpProvider, name: str, short: str) -> Reading:
    return await provider.ask(task_id(name, short), ACTIONS.get(name))


def test_there_is_a_form_for_every_description() -> None:
    assert FORMS.keys() == descriptions().keys()


@EVERY
async def test_a_task_is_read_from_its_birth_to_its_success(name: str) -> None:
    clock = FakeClock()
    async with asking(name, clock) as provider:
        born = await ask(provider, name, "demo-9s-a")
        await clock.advance(6)
        at_work = await ask(provider, name, "demo-9s-a")
        await clock.advance(3)
        ended = await ask(provider, name, "demo-9s-a")
    assert born.kind in {Kind.PENDING, Kind.RUNNING}
    assert (at_work.kind, ended.kind) == (Kind.RUNNING, Kind.SUCCEEDED)
    assert ended.snapshot is not None
    assert ended.snapshot.urls
    assert ended.snapshot.refused == ()
    assert ended.snapshot.result.keys() <= {"videos", "images", "audios"}


@pytest.mark.parametrize("name", sorted(FORMS.keys() - {"avatar"}))
async def test_a_failure_is_read_with_its_reason(name: str) -> None:
    async with asking(name) as provider:
        failed = await ask(provider, name, "demo-fail-0s")
    assert failed.kind is Kind.FAILED
    assert failed.snapshot is not None
    assert REFUSED in failed.snapshot.message
    assert failed.snapshot.urls == ()


async def test_a_digital_human_that_fails_is_just_never_done() -> None:
    async with asking("avatar") as provider:
        assert (await ask(provider, "avatar", "demo-fail-0s")).kind is Kind.RUNNING


@EVERY
async def test_one_that_never_ends_is_at_work_for_ever(name: str) -> None:
    clock = FakeClock()
    async with asking(name, clock) as provider:
        await ask(provider, name, "demo-never")
        await clock.advance(86400)
        assert (await ask(provider, name, "demo-never")).kind is Kind.RUNNING


@EVERY
async def test_an_unknown_id_a_wrong_key_and_too_many_requests_are_told_as_such(name: str) -> None:
    async with asking(name, rate=1) as provider:
        unknown = await ask(provider, name, "857000000000000009")
        limited = await ask(provider, name, "demo-1")
    async with asking(name, key="sk-another") as stranger:
        refused = await ask(stranger, name, "demo-1")
    assert unknown.kind in {Kind.NOT_FOUND, Kind.BAD_REQUEST}
    assert (limited.kind, refused.kind) == (Kind.RATE_LIMITED, Kind.AUTH_ERROR)


@pytest.mark.parametrize("name", sorted(name for name in FORMS if descriptions()[name].ask.batch))
async def test_many_are_asked_about_together_and_unknown_ones_told_apart(name: str) -> None:
    ids = ["demo-0s-a", "demo-fail-0s", "demo-9s-b", "857000000000000009"]
    async with asking(name) as provider:
        readings = await provider.ask_together(ids, ACTIONS.get(name))
    assert not isinstance(readings, Reading)
    kinds = [readings[each].kind for each in ids]
    assert (kinds[0], kinds[1], kinds[3]) == (Kind.SUCCEEDED, Kind.FAILED, Kind.NOT_FOUND)
    assert kinds[2] in {Kind.PENDING, Kind.RUNNING}


@pytest.mark.parametrize(("name", "is_list"), [("midjourney", True), ("luma", True), ("suno", False)])
async def test_a_batch_of_unknown_ids_alone_is_an_empty_list_or_as_sunos_none(name: str, is_list: bool) -> None:
    async with asking(name) as provider:
        readings = await provider.ask_together(["x", "y"], None)
    if is_list:
        assert not isinstance(readings, Reading)
        assert {reading.kind for reading in readings.values()} == {Kind.NOT_FOUND}
    else:
        assert isinstance(readings, Reading), "the batch tells nothing, so tasks are asked about one by one"


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
        ("ark", "demo-audio-0s", {"videos": 1, "images": 1}),  # it makes videos alone
        ("flux", "demo-images-0s", {"images": 1}),
        ("vidu", "demo-0s", {"videos": 1}),
        ("minimax", "demo-0s", {"videos": 1}),
        ("openai_video", "demo-0s", {"videos": 1}),
    ],
)
async def test_what_came_of_a_task_is_of_the_kind_its_id_asks_for(name: str, short: str, kinds: dict[str, int]) -> None:
    async with asking(name) as provider:
        ended = await ask(provider, name, short)
    assert ended.snapshot is not None
    assert {kind: len(items) for kind, items in ended.snapshot.result.items()} == kinds


@EVERY
async def test_every_result_can_be_fetched_from_the_simulator_itself(name: str) -> None:
    simulated = SimulatedProvider(FakeClock(), key=KEY)
    async with served(simulated.app, key=KEY) as client:
        http = HttpClient(timeout_s=5.0, concurrency=4)
        base_url = str(client.base_url).rstrip("/")
        provider = HttpProvider(descriptions()[name], base_url=base_url, api_key=KEY, client=http)
        ended = await ask(provider, name, "demo-0s-a/b" if name == "kling" else "demo-0s")
        await http.aclose()
        assert ended.snapshot is not None
        for url in ended.snapshot.urls:
            assert url.startswith(base_url)
            assert (await client.get(url)).status_code == 200


async def test_progress_is_told_where_the_form_has_a_place_for_it() -> None:
    told = set()
    for name in FORMS:
        clock = FakeClock()
        async with asking(name, clock) as provider:
            await ask(provider, name, "demo-10s")
            await clock.advance(5)
            at_work = await ask(provider, name, "demo-10s")
            assert at_work.snapshot is not None
            if at_work.snapshot.progress is not None:
                assert 49 <= at_work.snapshot.progress <= 51, name
                told.add(name)
    assert told == {
        *("newapi", "unified_v2", "suno", "midjourney", "openai_video", "flux", "replicate", "runway", "vidu"),
    }


CREATES: list[tuple[str, str, dict[str, Any]]] = [
    ("kling", "/kling/v1/videos/text2video", {}),
    ("kling_v2", "/text-to-video/kling-3.0-turbo", {}),
    ("newapi", "/v1/video/generations", {"model": "m"}),
    ("video_query", "/v1/video/create", {"model": "m"}),
    ("unified_v2", "/v2/videos/generations", {}),
    ("replicate", "/replicate/v1/predictions", {"version": "v"}),
    ("suno", "/suno/submit/music", {}),
    ("midjourney", "/mj/submit/imagine", {}),
    ("openai_video", "/v1/videos", {}),
    ("flux", "/v1/flux-pro-1.1", {}),
    ("luma", "/luma/generations", {}),
    ("luma", "/dream-machine/v1/generations", {}),
    ("runway", "/v1/image_to_video", {}),
    ("minimax", "/v1/video_generation", {}),
    ("vidu", "/ent/v2/text2video", {}),
    ("ark", "/api/v3/contents/generations/tasks", {}),
    ("jimeng", "/jimeng/?Action=CVSync2AsyncSubmitTask&Version=2022-08-31", {"req_key": ACTIONS["jimeng"]}),
    ("veo", "/v1beta/models/veo-3.0:predictLongRunning", {}),
    ("avatar", "/avatar/generation", {}),
]


@pytest.mark.parametrize(("name", "path", "body"), CREATES)
async def test_the_answer_to_a_create_names_a_task_that_can_be_watched(
    name: str, path: str, body: dict[str, Any]
) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock, key=KEY)
    async with served(simulated.app, key=KEY) as client:
        answer = await client.post(path, json={**body, "prompt": "demo-5s"})
        found = created(descriptions()[name], orjson.loads(answer.content))
        assert found is not None, answer.text
        await clock.advance(5)
        http = HttpClient(timeout_s=5.0, concurrency=4)
        base_url = str(client.base_url).rstrip("/")
        provider = HttpProvider(descriptions()[name], base_url=base_url, api_key=KEY, client=http)
        reading = await provider.ask(found[0], ACTIONS.get(name))
        await http.aclose()
    assert answer.status_code == 200
    assert reading.kind is Kind.SUCCEEDED


@pytest.mark.parametrize(
    ("path", "action", "ending"),
    [
        ("/suno/submit/lyrics", "lyrics", Ending.TEXTS),
        ("/mj-fast/mj/submit/video", "video", Ending.VIDEOS),
        ("/mj/submit/describe", "describe", Ending.TEXTS),
        ("/v2/images/generations", "images", Ending.IMAGES),
        ("/luma/dream-machine/v1/generations/image", "image", Ending.IMAGES),
        ("/runway/v1/text_to_speech", "text_to_speech", Ending.AUDIOS),
        ("/kling/image-to-image/v2-1", "image-to-image", Ending.IMAGES),
    ],
)
async def test_what_is_created_fits_the_action_of_the_path(path: str, action: str, ending: Ending) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock)
    async with served(simulated.app) as client:
        assert (await client.post(path, json={"prompt": "a cat"})).status_code == 200
    await clock.advance(10)
    assert len(simulated.ended_at) == 1
    (task,) = simulated.tasks
    assert (task.action, task.script.ending) == (action, ending)


async def test_a_body_of_form_fields_is_read_too() -> None:
    simulated = SimulatedProvider(FakeClock())
    async with served(simulated.app) as client:
        files = {"input_reference": ("a.png", b"\x89PNG\r\n\r\ndemo-9s\r\n", "image/png")}
        fields = {"model": "sora-2-pro", "prompt": "demo-fail-3s", "seconds": "4"}
        video = (await client.post("/v1/videos", data=fields, files=files)).json()
    assert (video["model"], video["seconds"], video["status"]) == ("sora-2-pro", "4", "queued")
    assert simulated.tasks[0].script.ending is Ending.FAILURE


async def test_the_bytes_of_openais_videos_need_the_key() -> None:
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
async def test_vendors_own_ways_to_show_a_key_do(path: str, header: dict[str, str]) -> None:
    async with served(SimulatedProvider(FakeClock(), key=KEY).app) as client:
        assert (await client.get(path, headers=header)).status_code == 200
        assert (await client.get(path, headers={"x-another": KEY})).status_code in {401, 403}


async def test_where_paths_meet_the_provider_asked_for_has_them() -> None:
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
async def test_a_batch_that_cannot_be_read_is_refused_in_the_forms_own_words(body: bytes) -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        for path in ("/suno/fetch", "/mj/task/list-by-condition", "/luma/tasks"):
            answer = await client.post(path, content=body)
            assert answer.status_code == 400
            assert answer.json()


async def test_every_form_answers_a_method_it_does_not_have() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        answer = await client.delete("/suno/fetch/x")
    assert (answer.status_code, answer.json()) == (405, {"error": {"message": "method not allowed"}})


async def test_texts_are_the_same_everywhere() -> None:
    async with served(SimulatedProvider(FakeClock()).app) as client:
        lyrics = (await client.get("/suno/fetch/demo-text-0s")).json()["data"]["data"]["text"]
        tokens = (await client.get("/v1/predictions/demo-text-0s")).json()["output"]
    assert WORDS in lyrics
    assert "".join(tokens).strip() == WORDS


async def test_a_task_created_in_one_form_is_asked_about_in_another() -> None:
    """As at a gateway that speaks several."""
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


@EVERY
async def test_no_request_is_too_strange_for_an_answer(name: str) -> None:
    async with served(SimulatedProvider(FakeClock(), provider=name).app) as client:
        for call in FORMS[name].calls:
            path = re.sub(r"\{.*?\}+", "videos", call.paths[0])
            queries = "?" + "&".join(f"{key}={value}" for key, value in getattr(call, "query", {}).items())
            strange = [
                (f"{queries}&id=%FF&task_id=%00&task_ids=,,&ids=&pageNum=x", b""),
                *((queries, body) for body in HOSTILE),
            ]
            for query, body in strange:
                answer = await client.request(call.method, path + query, content=body)
                assert answer.status_code < 500, (call.method, path, query, body[:40])
