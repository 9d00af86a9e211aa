"""How descriptions read the requests and answers of the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.domain.task import ReadingKind
from bridge.net.client import Answer
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.pass_through import NotCreated, PassThrough

BASE = "https://api.example.com/base"
KEY = "provider-key-0123456789"


def account(provider: str, base_url: str = BASE, **more: Any) -> PassThrough:
    return PassThrough(BUILT_IN[provider], base_url=base_url, api_key=KEY, **more)


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(
        status, {"date": "now"}, body if isinstance(body, bytes) else json.dumps(body).encode(), True, "", False
    )


@pytest.mark.parametrize(
    ("provider", "path", "body", "task"),
    [
        (
            "kling",
            "/v1/videos/text2video",
            {"code": 0, "data": {"task_id": "8570", "task_status": "submitted"}},
            "videos/text2video",
        ),
        (
            "kling",
            "/kling/v1/videos/avatar/image2video",
            {"code": 0, "data": {"task_id": "8570", "task_status": "submitted"}},
            "videos/avatar/image2video",
        ),
        ("kling", "/v1/images/generations", {"task_id": "8570"}, "images/generations"),
        (
            "replicate",
            "/v1/predictions",
            {"id": "8570", "version": "v", "urls": {"get": "https://x/v1/predictions/8570"}},
            None,
        ),
        ("replicate", "/v1/models/a/b/predictions", {"id": "8570", "model": "a/b", "urls": {"get": "https://x"}}, None),
        ("openai_video", "/v1/videos", {"id": "8570", "object": "video", "status": "queued"}, None),
        ("openai_video", "/v1/videos", {"id": "8570"}, None),
        (
            "fal",
            "/fal-ai/veo3/fast",
            {"request_id": "8570", "status_url": "https://queue.fal.run/fal-ai/veo3/requests/8570/status"},
            "fal-ai/veo3",
        ),
        (
            "fal",
            "/fal-ai/veo3/fast",
            {"request_id": "8570", "status_url": f"{BASE}/fal-ai/veo3/requests/8570/status"},
            "fal-ai/veo3",
        ),
        ("runpod", "/v2/a1b2c3/run", {"id": "8570", "status": "IN_QUEUE"}, "a1b2c3"),
        ("unified_v2", "/v2/images/generations", {"task_id": "8570"}, "images"),
        (
            "azure_openai",
            "/openai/v1/video/generations/jobs",
            {"object": "video.generation.job", "id": "8570"},
            "video/generations/jobs",
        ),
        ("midjourney", "/mj/submit/imagine", {"code": 1, "description": "ok", "result": "8570"}, None),
        ("comfyui", "/prompt", b'{"prompt_id": "8570", "number": NaN, "node_errors": {}}', None),
        ("midjourney", "/mj/submit/imagine", b'{"code": 1, "description": "\\ud83d", "result": "8570"}', None),
    ],
)
def test_a_create_answer_names_its_task_and_the_path_its_action(
    provider: str, path: str, body: Any, task: str | None
) -> None:
    assert account(provider).created(path, answer(body)) == ("8570", task)


@pytest.mark.parametrize(
    ("provider", "path", "body"),
    [
        ("openai_video", "/v1/chat/completions", {"id": "chatcmpl-1", "object": "chat.completion"}),
        *(
            (provider, path, {"id": "8570", "object": "chat.completion", "choices": []})
            for provider in ("kling", "newapi", "azure_openai")
            for path in ("/v1/chat/completions", "/v1/messages", "/openai/v1/chat/completions")
        ),
        ("openai_video", "/v1/files", {"id": "file-1", "object": "file"}),
        ("openai_video", "/v1/videos", [{"id": "8570"}]),
        ("openai_video", "/v1/videos", b"<html>"),
        ("replicate", "/v1/predictions/8570/cancel", {"id": "8570", "version": "v", "urls": {"get": "https://x"}}),
        ("replicate", "/v1/files", {"id": "8570", "urls": {"get": "https://x"}}),
        (
            "replicate",
            "/v1/models/a/b/versions/v/trainings",
            {"id": "8570", "version": "v", "urls": {"get": "https://x/v1/trainings/8570"}},
        ),
        ("kling", "/v1/videos/text2video", {"code": 1200, "message": "invalid", "data": {"task_id": "8570"}}),
        ("suno_feed", "/suno/v1/generate", {"id": "8570"}),
    ],
)
def test_other_answers_contain_no_new_task(provider: str, path: str, body: Any) -> None:
    assert account(provider).created(path, answer(body)) is None


@pytest.mark.parametrize(
    ("provider", "path", "may_create"),
    [
        ("runway", "/v1/text_to_video", True),
        ("runway", "/v1/realtime_sessions", False),
        ("runway", "/v1/workflows/5f2c6a54", False),
        ("minimax", "/minimax/v1/t2a_async_v2", False),
        ("d_id", "/scenes/avatars", False),
        ("xai", "/v1/videos/generations", True),
        ("xai", "/v1/chat/deferred-completion", False),
        ("suno_feed", "/suno/v1/generate", False),
    ],
)
def test_some_paths_create_something_other_than_a_task(provider: str, path: str, may_create: bool) -> None:
    assert account(provider).may_create("POST", path) is may_create


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("jobs/createTask", "jobs/recordInfo"),
        ("generate", "generate/record-info"),
        ("generate/extend", "generate/record-info"),
        ("veo/generate", "veo/record-info"),
        ("flux/kontext/generate", "flux/kontext/record-info"),
        ("runway/generate", "runway/record-detail"),
        ("mj/generateVary", "mj/record-info"),
        ("another/call", None),
    ],
)
def test_a_description_says_which_action_a_path_that_hides_it_means(path: str, action: str | None) -> None:
    assert account("kie").action_of(f"/api/v1/{path}") == action


def test_a_task_of_lyrics_has_the_action_for_lyrics() -> None:
    created = answer({"code": "success", "message": "", "data": "8570"})
    assert account("suno").created("/suno/submit/lyrics", created) == ("8570", "LYRICS")


def test_a_refused_create_call_names_no_task() -> None:
    body = {"code": 0, "data": {"task_id": "8570", "task_status": "submitted"}}
    assert account("kling").created("/v1/videos/text2video", answer(body, 500)) is None


def test_a_task_without_a_possible_action_is_reported() -> None:
    body = {"code": 0, "data": {"task_id": "8570", "task_status": "submitted"}}
    with pytest.raises(NotCreated, match="nor its account has an action"):
        account("kling").created("/v1/somewhere", answer(body))
    known = account("kling", action="videos/image2video")
    assert known.created("/v1/somewhere", answer(body)) == ("8570", "videos/image2video")


def test_an_unreadable_answer_to_a_known_create_call_is_reported() -> None:
    cut = Answer(200, {}, b'{"id": "8570", ', False, "body over 1048576 bytes", True)
    with pytest.raises(NotCreated, match="body over"):
        account("openai_video").created("/v1/videos", cut)
    assert account("openai_video").created("/v1/chat/completions", cut) is None


def test_our_own_poll_is_recognized_as_a_status_call_at_any_host() -> None:
    kling = account("kling")
    for target in ("/base/v1/videos/text2video/8570", "/base/kling/v1/videos/text2video/8570?x=1"):
        call = kling.status_call("GET", target)
        assert call is not None
        assert (call.task_id, call.action) == ("8570", "videos/text2video")
    for method, target in (
        ("POST", "/base/v1/videos/text2video/8570"),
        ("GET", "/v1/videos/text2video/8570"),
        ("GET", "/base/v1/videos/text2video?pageNum=1"),
        ("GET", "/base/account/costs"),
    ):
        assert kling.status_call(method, target) is None


def test_a_status_answer_is_read_like_a_poll() -> None:
    openai = account("openai_video")
    call = openai.status_call("GET", "/base/v1/videos/video_8570")
    assert call is not None
    reading = openai.reading(call, answer({"id": "video_8570", "object": "video", "status": "completed"}))
    assert reading is not None
    assert reading.kind is ReadingKind.SUCCEEDED
    assert reading.snapshot is not None
    assert reading.snapshot.urls == ("https://api.example.com/base/v1/videos/video_8570/content",)
    running = openai.reading(call, answer({"id": "video_8570", "object": "video", "status": "in_progress"}))
    assert running is not None
    assert running.kind is ReadingKind.RUNNING


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "no"}}, 404),
        ({}, 500),
        ({"id": "other", "object": "video", "status": "completed"}, 200),
        (b"", 200),
    ],
)
def test_an_answer_that_says_nothing_of_the_task_does_not_count(body: Any, status: int) -> None:
    openai = account("openai_video")
    call = openai.status_call("GET", "/base/v1/videos/video_8570")
    assert call is not None
    assert openai.reading(call, answer(body, status)) is None


def test_a_success_whose_result_takes_another_request_lacks_its_result() -> None:
    fal = account("fal", "https://queue.fal.run")
    call = fal.status_call("GET", "/fal-ai/veo3/requests/0c2f6a1e-8570/status?logs=1")
    assert call is not None
    reading = fal.reading(call, answer({"status": "COMPLETED", "request_id": "0c2f6a1e-8570", "response_url": "x"}))
    assert reading is not None
    assert reading.lacks_result


def test_a_429_limits_the_account_and_other_errors_do_not() -> None:
    limited = account("kling").limited(answer({"code": 1302, "message": "too many"}, 429))
    assert limited is not None
    assert limited.kind is ReadingKind.RATE_LIMITED
    assert account("kling").limited(answer({"code": 1102, "message": "no balance"}, 429)) is None
    assert account("kling").limited(answer({"code": 0, "data": {}}, 200)) is None


@pytest.mark.parametrize(
    ("provider", "headers"),
    [
        ("kling", {"Authorization": f"Bearer {KEY}"}),
        ("fal", {"Authorization": f"Key {KEY}"}),
        ("vidu@https://api.vidu.com", {"Authorization": f"Token {KEY}"}),
        ("veo@https://generativelanguage.googleapis.com", {"x-goog-api-key": KEY}),
        ("comfyui", {}),
    ],
)
def test_the_account_shows_its_own_key_in_the_providers_way(provider: str, headers: dict[str, str]) -> None:
    name, _, base_url = provider.partition("@")
    assert account(name, base_url or BASE).headers == headers
    assert account(name, base_url or BASE, headers={"X-Own": "1"}).headers == {**headers, "X-Own": "1"}


def test_a_configured_header_replaces_the_key_header_and_is_a_secret() -> None:
    own = account("kling", headers={"authorization": "Basic c2VjcmV0"})
    assert own.headers == {"authorization": "Basic c2VjcmV0"}
    assert set(own.secrets) == {KEY.encode(), b"Basic c2VjcmV0", b"c2VjcmV0"}
    assert account("kling", headers={"X-Client": "genbridge"}).secrets == (KEY.encode(),)


def test_accounts_that_sign_or_have_a_pair_of_keys_are_refused() -> None:
    assert account("kling", has_key_pair=True).refusal
    assert account("jimeng", "https://visual.volcengineapi.com").refusal
    assert account("kling").refusal is None
