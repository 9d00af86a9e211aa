"""Partial answers and redirects are transient failures, whatever the body says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.domain.task import Reading, ReadingKind
from bridge.net.client import HttpClient
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.provider import HttpProvider
from bridge.providers.reading import code_of, read, read_together
from bridge.providers.results import PollContext
from tests.loopback import answers, loopback
from tests.providers.reading_of import ACTION, TASK_ID, answered, kling, newapi, reading_of, videos

BODIES = [
    videos("https://cdn.example.com/a.mp4"),
    kling("failed"),
    {"code": 1203, "message": "task not found"},
    {"code": 1000, "message": "no such key"},
    newapi(),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {}),
        (206, {"content-range": "bytes 0-469/470"}),
        (206, {"content-range": "items 0-9/100"}),
        (200, {"content-range": "bytes 0-469/9000"}),
        (200, {"content-range": "bytes 100-469/470"}),
        (200, {"content-range": "Bytes=5-469/*"}),
        (301, {}),
        (302, {"location": "https://login.example.net/"}),
        (304, {}),
        (308, {}),
    ],
)
@pytest.mark.parametrize("provider", ["kling", "newapi"])
def test_a_part_or_a_redirect_is_transient(status: int, headers: dict[str, str], body: Any, provider: str) -> None:
    reading = reading_of(body, status=status, headers=headers, provider=provider)

    assert reading.kind is ReadingKind.TRANSIENT
    assert reading.snapshot is None
    assert f"HTTP {status}: " in reading.detail


@pytest.mark.parametrize("said", ["bytes 0-469/470", "bytes 0-469/*", "0-24/3573", "items 0-9/100", "nonsense", ""])
def test_a_whole_answer_counts_whatever_it_calls_its_range(said: str) -> None:
    assert reading_of(BODIES[0], headers={"content-range": said}).kind is ReadingKind.SUCCEEDED


def test_a_truncated_list_does_not_mean_not_found() -> None:
    description = BUILT_IN["midjourney"]
    asked = [PollContext(task_id=each, action=None, base_url="https://x") for each in ("1", "2")]

    assert isinstance(read_together(description, answered(b"[]"), asked), dict)
    reading = read_together(description, answered(b"[]", status=206), asked)
    assert isinstance(reading, Reading)
    assert reading.kind is ReadingKind.TRANSIENT


def test_a_truncated_second_answer_finishes_nothing() -> None:
    description = BUILT_IN["minimax"]
    first = {
        "task_id": "176843862716480",
        "status": "Success",
        "file_id": "176844028768320",
        "base_resp": {"status_code": 0},
    }
    second = b'{"file": {"download_url": "https://cdn.example.com/a.mp4"}, "base_resp": {"status_code": 0}}'
    asked = PollContext(task_id="176843862716480", action=None, base_url="https://x")
    whole = read(description, answered(orjson.dumps(first)), asked, second=answered(second))
    part = read(description, answered(orjson.dumps(first)), asked, second=answered(second, status=206))

    assert whole.kind is ReadingKind.SUCCEEDED
    assert part.kind is ReadingKind.TRANSIENT


def test_the_code_of_a_part_renews_no_token() -> None:
    description = BUILT_IN["kling"]

    assert code_of(description, answered(b'{"code": 1004}')) == 1004
    assert code_of(description, answered(b'{"code": "1004"}')) == 1004
    assert code_of(description, answered(b'{"code": 1004}', status=206)) is None


async def test_a_part_over_real_http_is_transient() -> None:
    client = HttpClient(timeout_s=5, concurrency=1)
    said = answers(206, b"{}", {"Content-Range": "bytes 0-1/2"})
    async with loopback(said) as server:
        provider = HttpProvider(BUILT_IN["kling"], base_url=server.url, client=client, api_key="k")
        reading = await provider.poll(TASK_ID, ACTION)
        await client.aclose()

    assert (reading.kind, "range" in server.asked[0].headers) == (ReadingKind.TRANSIENT, False)
