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
from bridge.simulator.vendor import load_vendor
from tests.fakes import FakeClock
from tests.served import served
from tests.simulator.test_simulated_vendors import ACTIONS, KEY

CREATES: list[tuple[str, str, dict[str, Any]]] = [
    ("kling", "/kling/v1/videos/text2video", {}),
    ("kling_v2", "/text-to-video/kling-3.0-turbo", {}),
    ("newapi", "/v1/video/generations", {"model": "m"}),
    ("video_query", "/v1/video/create", {"model": "m"}),
    ("unified_v2", "/v2/videos/generations", {}),
    ("replicate", "/replicate/v1/predictions", {"version": "v"}),
    ("suno", "/suno/submit/music", {}),
    ("midjourney", "/mj/submit/imagine", {}),
    *((name, "/v1/videos", {}) for name in ("openai_video", "openrouter")),
    ("flux", "/v1/flux-pro-1.1", {}),
    *(("luma", f"{base}/generations", {}) for base in ("/luma", "/dream-machine/v1")),
    ("luma_agents", "/v1/generations", {}),
    ("runway", "/v1/image_to_video", {}),
    *((f"minimax{api}", f"/v{n}/video_generation", {}) for n, api in enumerate(("", "_v2"), 1)),
    ("vidu", "/ent/v2/text2video", {}),
    ("ark", "/api/v3/contents/generations/tasks", {}),
    ("jimeng", "/jimeng/?Action=CVSync2AsyncSubmitTask&Version=2022-08-31", {"req_key": ACTIONS["jimeng"]}),
    ("veo", "/v1beta/models/veo-3.0:predictLongRunning", {}),
    ("avatar", "/avatar/generation", {}),
    ("fal", "/fal-ai/flux/dev", {}),
    ("kie", "/api/v1/jobs/createTask", {}),
    ("kie_suno", "/api/v1/generate", {}),
    ("dashscope", "/api/v1/services/aigc/video-generation/video-synthesis", {}),
    ("siliconflow", "/v1/video/submit", {}),
    ("zhipu", "/api/paas/v4/videos/generations", {}),
    ("runpod", "/v2/a1b2c3d4e5f6g7/run", {}),
    ("xai", "/v1/videos/generations", {}),
    ("azure_openai", "/openai/v1/video/generations/jobs", {}),
    ("heygen", "/v3/videos", {}),
    ("comfyui", "/prompt", {}),
    ("meshy", "/openapi/v2/text-to-3d", {}),
    ("piapi", "/api/v1/task", {"model": "kling"}),
    ("tripo", "/v2/openapi/task", {"type": "text_to_model"}),
    ("wavespeed", "/api/v3/wavespeed-ai/flux-dev", {}),
    ("leonardo", "/api/rest/v1/generations", {}),
    ("magnific", "/v1/ai/image-to-video/kling-v2-5-pro", {}),
    ("krea", "/generate/image/bfl/flux-1-dev", {}),
    ("hedra", "/v3/models/hedra-character-3", {}),
    ("ideogram", "/v1/ideogram-v4/async/generate", {}),
    ("d_id", "/talks", {}),
    ("sync", "/v2/generate", {"model": "lipsync-2"}),
    ("mureka", "/v1/song/generate", {}),
    ("novita", "/v3/async/kling-v1.6-t2v", {}),
    ("elevenlabs", "/v1/dubbing", {}),
]


@pytest.mark.parametrize(("name", "path", "body"), CREATES)
async def test_the_answer_to_a_create_has_an_id_that_can_be_polled(name: str, path: str, body: dict[str, Any]) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock, key=KEY, provider=name)
    key_headers = dict(load_vendor(name).key_headers(KEY))
    async with served(simulated.app) as client:
        answer = await client.post(path, json={**body, "prompt": "demo-5s"}, headers=key_headers)
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
