"""The task lists of providers over HTTP, from the simulated vendors and from answers of all kinds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from bridge.domain.list_mark import ListedTask
from bridge.domain.task import Json, Reading, ReadingKind
from bridge.net.client import HttpClient
from bridge.ports import ListPage, PageRequest
from bridge.providers.catalogue import BUILT_IN, DescriptionsRefused, load_descriptions
from bridge.providers.description import Description
from bridge.providers.new_tasks import first_pages
from bridge.providers.provider import HttpProvider
from bridge.providers.task_requests import call_request
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import Script
from tests.fakes import FakeClock
from tests.loopback import Exchange, loopback
from tests.served import served

KEY = "sk-canary-0123456789"
WITH_LIST = sorted(name for name, each in BUILT_IN.items() if each.ask.discover is not None)
SIMULATED = sorted({*WITH_LIST} - {"comfyui"})  # its list has the id of each prompt as a key
ACTIONS = {"kling": "videos/text2video", "azure_openai": "video/generations/jobs", "meshy": "openapi/v2/text-to-3d"}
TASKS = 250


@asynccontextmanager
async def provider(description: Description, base_url: str) -> AsyncIterator[HttpProvider]:
    http = HttpClient(timeout_s=5.0, concurrency=4)
    yield HttpProvider(description, base_url=base_url, api_key=KEY, client=http)
    await http.aclose()


async def all_pages(lists: HttpProvider, page: PageRequest | None) -> list[list[ListedTask]]:
    found = []
    while page is not None:
        answer = await lists.list_page(page)
        assert isinstance(answer, ListPage), answer
        found.append(list(answer.tasks))
        page = answer.following
    return found


async def answered(description: Description, *bodies: Json, page: PageRequest | None = None) -> list[Any]:
    """Request the first page (or `page`) and the pages after it, with these answers. Returns the result for each
    answer, and the requests."""
    left = [body if isinstance(body, bytes) else orjson.dumps(body) for body in bodies]

    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, left.pop(0))

    found: list[Any] = []
    async with loopback(script) as server, provider(description, server.url) as lists:
        following = page or lists.first_pages(None)[0]
        while left:
            answer = await lists.list_page(following)
            found.append(answer)
            if isinstance(answer, ListPage) and answer.following is not None:
                following = answer.following
        return [*found, list(server.asked)]


def mine(**discover: Any) -> Description:
    tree = {"path": "/jobs", "items": "jobs", "id": "id", "created": "at", **discover}
    form = {"task": "@", "status": "status", "words": {"running": ["running"]}, "results": []}
    ask = {"path": "/jobs/{id}", "discover": tree}
    return load_descriptions({"mine": {"title": "Mine", "ask": ask, "forms": {"job": form}}})["mine"]


def test_the_docs_have_a_row_for_each_provider_with_a_list() -> None:
    page = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    section = page.split("#### Automatic discovery\n", 1)[1].split("\n### ", 1)[0]
    assert sorted(re.findall(r"^\| [^|]+: `(\w+)` \|", section, re.MULTILINE)) == WITH_LIST


@pytest.mark.parametrize("name", SIMULATED)
async def test_every_task_is_on_the_pages_of_its_vendor_newest_first(name: str) -> None:
    clock = FakeClock()
    simulated = SimulatedProvider(clock, key=KEY, provider=name)
    begun_at = clock.now()
    for number in range(TASKS):
        at, action = begun_at - TASKS + number, ACTIONS.get(name, "")
        simulated.plan(f"task-{number}", Script(lasts_s=1e6), action=action, created_at=at, vendor=name)
    simulated.plan("elsewhere", Script(), action="other", vendor="other")
    async with served(simulated.app) as client, provider(BUILT_IN[name], str(client.base_url)) as lists:
        first = next(each for each in lists.first_pages(None) if each.action in {None, ACTIONS.get(name)})
        pages = await all_pages(lists, first)
    tasks = [task for page in pages for task in page]
    assert [task.task_id for task in tasks] == [f"task-{number}" for number in reversed(range(TASKS))]
    assert [round((task.created_ms or 0) / 1000 - begun_at) for task in tasks] == [-1 - n for n in range(TASKS)]
    assert len(pages) >= (1 if name == "midjourney" else 3)


async def test_comfyui_lists_finished_prompts_with_their_starts() -> None:
    start = ["execution_start", {"prompt_id": "p-1", "timestamp": 1_762_000_000_000}]
    prompt = {"prompt": [12, "p-1", {}, {}, []], "outputs": {}, "status": {"messages": [start]}}
    page, empty, asked = await answered(BUILT_IN["comfyui"], {"p-1": prompt}, {})
    assert page.tasks == [ListedTask("p-1", 1_762_000_000_000)]
    assert (empty.tasks, empty.following) == ([], None)
    assert asked[0].target == "/history?max_items=64"


@pytest.mark.parametrize(
    ("name", "base_url", "url"),
    [
        ("replicate", "https://api.replicate.com", "/v1/predictions"),
        ("kling", "https://api-singapore.klingai.com", "/v1/videos/text2video?pageNum=1&pageSize=100"),
        ("kling_v2", "https://api-beijing.klingai.com", "/tasks"),
        ("ark", "https://ark.cn-beijing.volces.com", "/api/v3/contents/generations/tasks?page_num=1&page_size=100"),
        ("luma", "https://api.lumalabs.ai", "/dream-machine/v1/generations?limit=100&offset=0"),
    ],
)
def test_the_vendors_own_host_has_its_list_at_its_own_path(name: str, base_url: str, url: str) -> None:
    description = BUILT_IN[name]
    call = description.route(base_url).discover
    assert call is not None
    given = {"page": 1, "offset": 0, "since_ms": 0}
    action = first_pages(call, None)[0].action
    request = call_request(description, call, base_url=base_url, action=action, given=given)
    assert request.url == base_url + url


def test_kling_has_a_list_for_each_action_that_of_the_account_first() -> None:
    call = BUILT_IN["kling"].ask.discover
    assert call is not None
    assert "videos/avatar/image2video" in call.actions


async def test_the_key_follows_no_address_of_another_host() -> None:
    following = "https://evil.example/v1/predictions?cursor=cD0yMDI%3D&limit=2"
    body = {"results": [{"id": "a", "created_at": "2026-01-01T10:00:00Z"}], "next": following}
    last: Json = {"results": [], "next": None}
    _, page, asked = await answered(BUILT_IN["replicate"], body, last)
    assert page.following is None
    assert [urlsplit(one.target).path for one in asked] == ["/replicate/v1/predictions"] * 2
    assert dict(parse_qsl(urlsplit(asked[1].target).query)) == {"cursor": "cD0yMDI=", "limit": "2"}
    assert asked[1].headers["host"].startswith("127.0.0.1")


async def test_a_cursor_cannot_change_the_request() -> None:
    odd = "a&b=c#d {id} {page}é"
    described = mine(next={"after": "next"}, query={"size": "2"})
    body = {"jobs": [{"id": "a", "at": 1_762_000_000}], "next": odd}
    _, _, asked = await answered(described, body, {"jobs": []})
    target = urlsplit(asked[1].target)
    assert target.path == "/jobs"
    assert dict(parse_qsl(target.query)) == {"size": "2", "after": odd}


async def test_a_body_has_numbers_and_the_cursor_of_the_page_before() -> None:
    item = {"id": "a", "create_time": 1_762_000_000_000}
    first = PageRequest(is_cut=True, since_ms=1_761_999_880_000)
    more = {"code": 0, "data": {"result": [item], "next_cursor": "c2", "has_more": True}}
    done = {"code": 0, "data": {"result": None, "next_cursor": "", "has_more": False}}
    page, last, asked = await answered(BUILT_IN["kling_v2"], more, done, page=first)
    assert page.tasks == [ListedTask("a", 1_762_000_000_000)]
    assert (last.tasks, last.following) == ([], None)
    assert [(one.method, one.target) for one in asked] == [("POST", "/kling/tasks")] * 2
    sent = {"start_time": 1_761_999_880_000, "limit": 100}
    assert [orjson.loads(one.body) for one in asked] == [sent, {**sent, "cursor": "c2"}]


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        ({"tasks": []}, ReadingKind.AMBIGUOUS, "contains no list"),
        ({"jobs": {}}, ReadingKind.AMBIGUOUS, "contains no list"),
        ({"jobs": [{"name": "x"}]}, ReadingKind.AMBIGUOUS, "have no ids"),
        (b"<html>login</html>", ReadingKind.TRANSIENT, "web page"),
        (b"", ReadingKind.TRANSIENT, "empty"),
    ],
)
async def test_an_answer_that_is_no_list_is_a_reading(body: Json, kind: ReadingKind, detail: str) -> None:
    reading, _ = await answered(mine(), body)
    assert isinstance(reading, Reading)
    assert (reading.kind, detail in reading.detail) == (kind, True)


async def test_a_list_item_that_is_not_a_task_is_left_out() -> None:
    items = [{"id": "a\nb"}, "text", None, {"id": 7, "at": "never"}, {"id": "b", "at": 1_762_000_000}]
    page, _ = await answered(mine(), {"jobs": items})
    assert page.tasks == [ListedTask("7"), ListedTask("b", 1_762_000_000_000)]


@pytest.mark.parametrize(
    ("discover", "message"),
    [
        ({"next": {"a": "b"}, "next_url": "c"}, "use only one of these for the next page"),
        ({"next": {"a": "b"}, "query": {"p": "{page}"}}, "use only one of these for the next page"),
        ({"actions": ["x"]}, "actions need {action} in the request"),
        ({"path": "/jobs/{id}"}, "{id} is not available here"),
        ({"body": [1]}, "mapping"),
        ({"items": "a["}, "items"),
        ({"itmes": "a"}, "itmes"),
    ],
)
def test_a_mistake_in_a_list_is_reported(discover: Mapping[str, Any], message: str) -> None:
    with pytest.raises(DescriptionsRefused) as refused:
        mine(**discover)
    assert any(message in f"{'.'.join(map(str, one.path))}: {one.message}" for one in refused.value.found)
