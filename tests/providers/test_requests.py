"""What is sent for each provider: at aggregators, at the vendor's own hosts, one by one and together."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from bridge.domain.origins import has_origin
from bridge.providers.auth import shown
from bridge.providers.catalogue import BUILT_IN, load_descriptions
from bridge.providers.new_tasks import created, created_by_any
from bridge.providers.task_requests import (
    call_request,
    harmless_action,
    locate,
    task_request,
    vendor_origins,
)

BASE = "https://api.example.com"
JIMENG = "?Action=CVSync2AsyncGetResult&Version=2022-08-31"

ASKED = [  # provider, base URL, action, id, address
    ("kling", BASE, "videos/text2video", "7", f"{BASE}/kling/v1/videos/text2video/7"),
    ("kling", "https://api-beijing.klingai.com", "audio/tts", "7", "https://api-beijing.klingai.com/v1/audio/tts/7"),
    ("kling_v2", BASE, None, "7", f"{BASE}/kling/tasks?task_ids=7"),
    ("kling_v2", "https://api-singapore.klingai.com", None, "7", "https://api-singapore.klingai.com/tasks?task_ids=7"),
    ("newapi", BASE, None, "task_a", f"{BASE}/v1/video/generations/task_a"),
    ("newapi", BASE, "kling/v1/videos/text2video", "task_a", f"{BASE}/kling/v1/videos/text2video/task_a"),
    ("unified_v2", BASE, None, "9f", f"{BASE}/v2/videos/generations/9f"),
    ("unified_v2", BASE, "images", "9f", f"{BASE}/v2/images/generations/9f"),
    ("video_query", BASE, None, "sora-2:task_a", f"{BASE}/v1/video/query?id=sora-2%3Atask_a"),
    ("replicate", BASE, None, "s0", f"{BASE}/replicate/v1/predictions/s0"),
    ("replicate", "https://api.replicate.com", None, "s0", "https://api.replicate.com/v1/predictions/s0"),
    ("suno", BASE, None, "34", f"{BASE}/suno/fetch/34"),
    ("suno", BASE, "LYRICS", "34", f"{BASE}/suno/fetch/34"),
    ("suno_feed", BASE, None, "e9", f"{BASE}/suno/v1/feed/e9"),
    ("midjourney", BASE, None, "17", f"{BASE}/mj/task/17/fetch"),
    ("midjourney", BASE, "mj-fast", "17", f"{BASE}/mj-fast/mj/task/17/fetch"),
    ("openai_video", BASE, None, "video_1", f"{BASE}/v1/videos/video_1"),
    ("flux", BASE, None, "f1", f"{BASE}/bfl/v1/get_result?id=f1"),
    ("flux", "https://api.bfl.ai", None, "f1", "https://api.bfl.ai/v1/get_result?id=f1"),
    ("flux", "https://api.bfl.ai", "eu1", "f1", "https://api.eu1.bfl.ai/v1/get_result?id=f1"),
    ("luma", BASE, None, "1e", f"{BASE}/luma/generations/1e"),
    ("luma", "https://api.lumalabs.ai", None, "1e", "https://api.lumalabs.ai/dream-machine/v1/generations/1e"),
    ("runway", BASE, None, "17", f"{BASE}/runwayml/v1/tasks/17"),
    ("runway", "https://api.dev.runwayml.com", None, "17", "https://api.dev.runwayml.com/v1/tasks/17"),
    ("minimax", BASE, None, "17", f"{BASE}/minimax/v1/query/video_generation?task_id=17"),
    ("minimax", "https://api.minimax.io", None, "17", "https://api.minimax.io/v1/query/video_generation?task_id=17"),
    ("minimax_v2", BASE, None, "17", f"{BASE}/minimax/v2/query/video_generation/17"),
    ("minimax_v2", "https://api.minimax.io", None, "17", "https://api.minimax.io/v2/query/video_generation/17"),
    ("vidu", BASE, None, "v", f"{BASE}/ent/v2/tasks/v/creations"),
    ("vidu", f"{BASE}/vidu", None, "v", f"{BASE}/vidu/ent/v2/tasks/v/creations"),
    ("vidu", "https://api.vidu.cn", None, "v", "https://api.vidu.cn/ent/v2/tasks/v/creations"),
    ("ark", BASE, None, "cgt-1", f"{BASE}/volc/v1/contents/generations/tasks/cgt-1"),
    (
        *("ark", "https://ark.cn-beijing.volces.com", None, "cgt-1"),
        "https://ark.cn-beijing.volces.com/api/v3/contents/generations/tasks/cgt-1",
    ),
    ("veo", BASE, None, "models/veo-3/operations/a", f"{BASE}/v1beta/models/veo-3/operations/a"),
    ("avatar", BASE, None, "av-1", f"{BASE}/avatar/task/av-1"),
]


@pytest.mark.parametrize(("provider", "base_url", "action", "task_id", "url"), ASKED)
def test_each_provider_is_polled_at_its_url_which_works_as_id(
    provider: str, base_url: str, action: str | None, task_id: str, url: str
) -> None:
    description = BUILT_IN[provider]

    assert task_request(description, base_url=base_url, task_id=task_id, action=action).url == url
    found = locate(description, base_url, url)
    assert found is not None
    assert found.task_id == task_id
    assert task_request(description, base_url=base_url, task_id=task_id, action=found.action).url == url


@pytest.mark.parametrize(
    ("provider", "url", "found"),
    [
        ("luma", f"{BASE}/luma/dream-machine/v1/generations/1e", ("1e", None)),
        ("runway", f"{BASE}/runway/v1/tasks/17", ("17", None)),
        ("vidu", f"{BASE}/vidu/ent/v2/tasks/v/creations", ("v", None)),
        ("ark", f"{BASE}/doubao/api/v3/contents/generations/tasks/cgt-1", ("cgt-1", None)),
        ("minimax", f"{BASE}/minimax/v1/query/video_generation?x=1&task_id=17", ("17", None)),
        ("minimax", f"{BASE}/minimax/v1/query/video_generation?task=17", None),
        ("midjourney", f"{BASE}/MJ/../mj/task/17/fetch", None),
        ("unified_v2", f"{BASE}/v2/music/generations/9f", None),
        ("jimeng", f"{BASE}/jimeng/{JIMENG}", None),
        ("flux", "https://api.eu1.bfl.ai.evil.net/v1/get_result?id=f1", None),
        ("suno", f"{BASE}/suno/fetch/", None),
        ("meshy", f"{BASE}/openapi/v2/text-to-3d/018a-2/stream", ("018a-2", "openapi/v2/text-to-3d")),
    ],
)
def test_other_known_urls_are_accepted_and_unknown_ones_are_not(
    provider: str, url: str, found: tuple[str, str | None] | None
) -> None:
    assert locate(BUILT_IN[provider], BASE, url) == found


def test_jimeng_is_polled_by_post_with_the_key_of_the_create_call() -> None:
    asked = task_request(BUILT_IN["jimeng"], base_url=BASE, task_id="73/91", action="jimeng_vgfm_t2v_l20")

    assert (asked.method, asked.url) == ("POST", f"{BASE}/jimeng/{JIMENG}")
    assert orjson.loads(asked.body or b"") == {"req_key": "jimeng_vgfm_t2v_l20", "task_id": "73/91"}
    with pytest.raises(ValueError, match="neither the task nor its account has an action"):
        task_request(BUILT_IN["jimeng"], base_url=BASE, task_id="7391", action=None)


def test_every_provider_can_be_polled_for_an_unknown_task(subtests: pytest.Subtests) -> None:
    for provider in BUILT_IN:
        with subtests.test(provider):
            description = BUILT_IN[provider]
            asked = task_request(
                description, base_url=BASE, task_id="genbridge-check", action=harmless_action(description)
            )

            assert not asked.is_elsewhere
            assert "genbridge-check" in f"{asked.url}{asked.body!r}"


@pytest.mark.parametrize("task_id", ["a/../b", "/a", "a//b", "..", "a/."])
def test_an_id_with_slashes_cannot_leave_its_path(task_id: str) -> None:
    with pytest.raises(ValueError, match="path"):
        task_request(BUILT_IN["veo"], base_url=BASE, task_id=task_id, action=None)


@pytest.mark.parametrize(
    ("provider", "method", "url", "body"),
    [
        ("kling_v2", "GET", f"{BASE}/kling/tasks?task_ids=a%2Fb,c", None),
        ("suno", "POST", f"{BASE}/suno/fetch", {"ids": ["a/b", "c"], "action": "MUSIC"}),
        ("suno_feed", "GET", f"{BASE}/suno/v1/feed/a%2Fb,c", None),
        ("midjourney", "POST", f"{BASE}/mj/task/list-by-condition", {"ids": ["a/b", "c"]}),
        ("luma", "POST", f"{BASE}/luma/tasks", {"ids": ["a/b", "c"]}),
    ],
)
def test_many_tasks_are_polled_in_one_request(provider: str, method: str, url: str, body: object) -> None:
    description = BUILT_IN[provider]
    assert description.ask.batch is not None
    given = {"ids": ["a/b", "c"]}
    asked = call_request(description, description.ask.batch, base_url=BASE, action="MUSIC", given=given)

    assert (asked.method, asked.url) == (method, url)
    assert (asked.body and orjson.loads(asked.body)) == body


def test_a_file_of_minimax_is_requested_at_the_host_of_its_task() -> None:
    for host, prefix in ((BASE, "/minimax"), ("https://api.minimax.io", "")):
        minimax = BUILT_IN["minimax"]
        call = minimax.route(host).second
        assert call is not None
        url = call_request(minimax, call, base_url=host, action=None, given={"value": "17 6", "id": "1"}).url
        assert url == f"{host}{prefix}/v1/files/retrieve?file_id=17%206"


@pytest.mark.parametrize(
    ("provider", "host", "headers"),
    [
        ("vidu", "api.vidu.cn", {"Authorization": "Token k"}),
        ("vidu", "api.example.com", {"Authorization": "Bearer k"}),
        ("flux", "api.bfl.ai", {"x-key": "k"}),
        ("veo", "generativelanguage.googleapis.com", {"x-goog-api-key": "k"}),
        ("veo", "api.example.com", {"Authorization": "Bearer k"}),
    ],
)
def test_each_host_is_shown_the_key_in_its_own_way(provider: str, host: str, headers: dict[str, str]) -> None:
    assert shown(BUILT_IN[provider].route(f"https://{host}").auth, "k") == (headers, None)


@pytest.mark.parametrize(
    ("url", "origins", "may"),
    [
        (f"{BASE}/x", [], True),
        ("https://API.example.com:443/x", [], True),
        ("https://api.eu1.bfl.ai/x", [], False),
        ("https://api.eu1.bfl.ai/x", ["https://*.bfl.ai"], True),
        ("https://bfl.ai/x", ["https://*.bfl.ai"], False),
        ("https://evilbfl.ai/x", ["https://*.bfl.ai"], False),
        ("https://api.bfl.ai.evil.net/x", ["https://*.bfl.ai"], False),
        ("https://api.bfl.ai:8443/x", ["https://*.bfl.ai"], False),
        ("http://api.bfl.ai/x", ["https://*.bfl.ai"], False),
        ("https://user@api.bfl.ai/x", ["https://*.bfl.ai"], False),
        ("https://api.example.com@evil.net/x", [], False),
        ("https://[", ["https://*.bfl.ai"], False),
        ("https://api.bfl.ai:x/", ["https://*.bfl.ai"], False),
    ],
)
def test_a_key_may_go_to_its_own_and_to_listed_origins(url: str, origins: Sequence[str], may: bool) -> None:
    assert has_origin(url, (BASE, *origins)) is may


@pytest.mark.parametrize(
    ("base_url", "origins"),
    [
        ("https://api.bfl.ai", ["https://*.bfl.ai"]),
        ("https://api.us1.bfl.ai/", ["https://*.bfl.ai"]),
        ("http://api.bfl.ai", []),
        ("https://api.bfl.ai:8443", []),
        ("https://api.bfl.ai.evil.net", []),
        (BASE, []),
    ],
)
def test_a_key_of_the_vendor_may_go_to_all_its_regions(base_url: str, origins: list[str]) -> None:
    assert vendor_origins(BUILT_IN["flux"], base_url) == origins
    assert not any(vendor_origins(BUILT_IN[name], base_url) for name in BUILT_IN.keys() - {"flux"})


def test_a_create_answer_of_flux_also_gives_the_region() -> None:
    answer = {"id": "f1", "polling_url": "https://api.eu1.bfl.ai/v1/get_result?id=f1"}

    assert created(BUILT_IN["flux"], answer) == ("f1", "eu1")
    assert created(BUILT_IN["flux"], answer | {"polling_url": "https://evil.net/?id=f2"}) == ("f1", None)


@pytest.mark.parametrize(
    ("provider", "answer", "task_id"),
    [
        ("kling", {"id": "task_a", "task_id": "task_a", "object": "video", "status": "queued"}, "task_a"),
        ("newapi", {"id": "task_a", "task_id": "task_a", "object": "video", "status": "queued"}, "task_a"),
        ("replicate", {"id": "s0", "version": "5c", "urls": {"get": "https://x"}, "status": "starting"}, "s0"),
        ("luma", {"id": "1e", "state": "queued"}, "1e"),
        ("runway", {"id": "17000000-0000-4000-8000-000000000001"}, "17000000-0000-4000-8000-000000000001"),
        ("veo", {"name": "models/veo-3/operations/a"}, "models/veo-3/operations/a"),
        ("jimeng", {"code": 10000, "data": {"task_id": "7391"}}, "7391"),
        ("openai_video", {"id": "video_1", "object": "video", "status": "queued"}, "video_1"),
        ("avatar", {"id": "av-1", "work_name": "demo"}, "av-1"),
        ("minimax", {"task_id": 17, "base_resp": {"status_code": 0}}, "17"),
        ("minimax_v2", {"task": {"id": "17", "status": "queued"}}, "17"),
        ("minimax_v2", {"task_id": "17"}, "17"),
        ("openrouter", {"id": "j", "polling_url": "/api/v1/videos/j", "status": "pending"}, "j"),
        ("meshy", {"result": "018a210d-8ba4-705c-b111-1f1776f7f578"}, "018a210d-8ba4-705c-b111-1f1776f7f578"),
        ("tripo", {"code": 0, "data": {"task_id": "ef731ad6"}}, "ef731ad6"),
    ],
)
def test_a_create_answer_names_its_task_and_looks_like_its_provider(
    provider: str, answer: object, task_id: str
) -> None:
    assert created_by_any(BUILT_IN, answer)[provider] == (task_id, None)


@pytest.mark.parametrize(
    ("provider", "answer"),
    [
        ("suno", {"code": "quota", "message": "no", "data": "x"}),
        ("suno", {"code": "success", "data": {}}),
        ("midjourney", {"code": 24, "description": "banned word", "result": "1"}),
        ("minimax", {"task_id": "1", "base_resp": {"status_code": 1008}}),
        ("kling", {"code": 1102, "data": {"task_id": "1"}}),
        ("kling", {"code": 0, "data": {"task_id": ".."}}),
        ("suno_feed", {"code": "success", "data": "x"}),
    ],
)
def test_an_answer_that_created_nothing_names_no_task(provider: str, answer: object) -> None:
    assert created(BUILT_IN[provider], answer) is None


@pytest.mark.parametrize("answer", [None, 3, "x", [], {}, [{"id": "1"}], {"error": {"message": "no"}}])
def test_anything_may_be_given_as_a_create_answer(answer: object) -> None:
    assert created_by_any(BUILT_IN, answer) == {}


def test_a_query_parameter_may_carry_the_key() -> None:
    own = load_descriptions({"own": {"extends": "openai_video", "ask": {"auth": "query api_key"}}})["own"]

    assert shown(own.ask.auth, "k") == ({}, ("api_key", "k"))
