"""Create calls of the simulated vendors: their answers, and the tasks that they make."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.domain.task import ReadingKind
from bridge.net.client import HttpClient
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.new_tasks import created
from bridge.providers.provider import HttpProvider
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import SimulatedResult
from bridge.simulator.vendor import Purpose, load_vendor, vendor_names
from tests.fakes import FakeClock
from tests.served import served
from tests.simulator.test_simulated_vendors import ACTIONS, KEY

PATHS = {  # where a part of the path can vary
    "kling": "/kling/v1/videos/text2video",
    "kling_v2": "/text-to-video/kling-3.0-turbo",
    "unified_v2": "/v2/videos/generations",
    "suno": "/suno/submit/music",
    "midjourney": "/mj/submit/imagine",
    "flux": "/v1/flux-pro-1.1",
    "runway": "/v1/image_to_video",
    "vidu": "/ent/v2/text2video",
    "jimeng": "/jimeng/?Action=CVSync2AsyncSubmitTask&Version=2022-08-31",
    "veo": "/v1beta/models/veo-3.0:predictLongRunning",
    "fal": "/fal-ai/flux/dev",
    "dashscope": "/api/v1/services/aigc/video-generation/video-synthesis",
    "zhipu": "/api/paas/v4/videos/generations",
    "runpod": "/v2/a1b2c3d4e5f6g7/run",
    "xai": "/v1/videos/generations",
    "meshy": "/openapi/v2/text-to-3d",
    "wavespeed": "/api/v3/wavespeed-ai/flux-dev",
    "magnific": "/v1/ai/image-to-video/kling-v2-5-pro",
    "krea": "/generate/image/bfl/flux-1-dev",
    "hedra": "/v3/models/hedra-character-3",
    "ideogram": "/v1/ideogram-v4/async/generate",
    "d_id": "/talks",
    "mureka": "/v1/song/generate",
    "novita": "/v3/async/kling-v1.6-t2v",
    "aimlapi": "/v2/video/generations",
    "bria": "/v2/image/generate",
    "tripo": "/v3/generation/text-to-model",
    "pollo": "/api/platform/v1/generation/pollo-ai/pollo-v2-5/video",
}
BODIES: dict[str, dict[str, Any]] = {
    "newapi": {"model": "m"},
    "video_query": {"model": "m"},
    "jimeng": {"req_key": ACTIONS["jimeng"]},
    "replicate": {"version": "v"},
    "piapi": {"model": "kling"},
    "sync": {"model": "lipsync-2"},
}
CREATES = [
    *((name, path) for name, path in PATHS.items()),
    *(
        (name, route.path)
        for name in vendor_names()
        for route in load_vendor(name).routes
        if route.purpose is Purpose.CREATE and "{" not in route.path and not route.query
    ),
]


def test_every_vendor_is_asked_to_create_a_task() -> None:
    assert {name for name, _ in CREATES} == {*vendor_names()} - {"suno_feed"}  # whose tasks suno creates


@pytest.mark.parametrize(("name", "path"), CREATES)
async def test_the_answer_to_a_create_has_an_id_that_can_be_polled(name: str, path: str) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock, key=KEY, provider=name)
    key_headers = dict(load_vendor(name).key_headers(KEY))
    async with served(simulated.app) as client:
        answer = await client.post(path, json={**BODIES.get(name, {}), "prompt": "demo-5s"}, headers=key_headers)
        found = created(BUILT_IN[name], orjson.loads(answer.content))
        assert found is not None, answer.text
        await clock.advance(5)
        http = HttpClient(timeout_s=5.0, concurrency=4)
        base_url = str(client.base_url).rstrip("/")
        provider = HttpProvider(BUILT_IN[name], base_url=base_url, api_key=KEY, client=http)
        reading = await provider.poll(found[0], ACTIONS.get(name))
        await http.aclose()
    assert answer.status_code == 200
    assert reading.kind is ReadingKind.SUCCEEDED


@pytest.mark.parametrize(
    ("path", "action", "ending"),
    [
        ("/suno/submit/lyrics", "lyrics", SimulatedResult.TEXTS),
        ("/mj-fast/mj/submit/video", "video", SimulatedResult.VIDEOS),
        ("/mj/submit/describe", "describe", SimulatedResult.TEXTS),
        ("/v2/images/generations", "images", SimulatedResult.IMAGES),
        ("/luma/dream-machine/v1/generations/image", "image", SimulatedResult.IMAGES),
        ("/runway/v1/text_to_speech", "text_to_speech", SimulatedResult.AUDIOS),
        ("/kling/image-to-image/v2-1", "image-to-image", SimulatedResult.IMAGES),
    ],
)
async def test_the_result_of_a_created_task_follows_the_action_in_the_path(
    path: str, action: str, ending: SimulatedResult
) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock)
    async with served(simulated.app) as client:
        assert (await client.post(path, json={"prompt": "a cat"})).status_code == 200
    await clock.advance(10)
    assert len(simulated.finished_at) == 1
    (task,) = simulated.tasks
    assert (task.action, task.script.result) == (action, ending)


async def test_a_multipart_body_is_read_too() -> None:
    simulated = SimulatedProvider(FakeClock())
    async with served(simulated.app) as client:
        files = {"input_reference": ("a.png", b"\x89PNG\r\n\r\ndemo-9s\r\n", "image/png")}
        fields = {"model": "sora-2-pro", "prompt": "demo-fail-3s", "seconds": "4"}
        video = (await client.post("/v1/videos", data=fields, files=files)).json()
    assert (video["model"], video["seconds"], video["status"]) == ("sora-2-pro", "4", "queued")
    assert simulated.tasks[0].script.result is SimulatedResult.FAILURE
