"""Recording the real requests and answers of plugins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import anyio.to_thread
import pytest

from bridge.net.client import Answer
from bridge.sinks.answers import json_of
from bridge.sinks.judging import MOST_ANSWER_BYTES
from bridge.sinks.requests_hook import Exchange, recording
from tests.sinks.receivers import HANG, answer, free_port, http_receiver


def exchanged(work: Callable[[Any], object]) -> list[Exchange]:
    """The requests and answers of this thread during `work`. Failures of `work` are ignored."""
    import requests

    with recording() as recorded:
        try:
            work(requests)
        except requests.RequestException:
            pass
        return recorded.exchanges


async def in_thread(work: Callable[[Any], object]) -> list[Exchange]:
    return await anyio.to_thread.run_sync(exchanged, work)


async def test_an_exchange_has_status_headers_body_and_host() -> None:
    async with http_receiver(answer(429, b'{"ok":false}', Retry_After="7")) as receiver:
        [seen] = await in_thread(lambda requests: requests.post(receiver.url, data=b"x", timeout=5))
    assert seen.answer is not None
    assert (seen.method, seen.host) == ("POST", "127.0.0.1")
    assert (seen.answer.status, seen.answer.headers["retry-after"]) == (429, "7")
    assert json_of(seen.answer) == ({"ok": False}, "")
    assert not seen.is_unanswered


async def test_only_the_start_of_a_long_answer_is_kept() -> None:
    async with http_receiver(answer(200, b"x" * (MOST_ANSWER_BYTES + 1))) as receiver:
        [seen] = await in_thread(lambda requests: requests.post(receiver.url, data=b"x", timeout=5))
    assert seen.answer is not None
    assert len(seen.answer.body) == MOST_ANSWER_BYTES
    assert json_of(seen.answer) == (None, "the response is over 64 KiB")


async def test_an_unanswered_request_differs_from_one_that_was_never_sent() -> None:
    async with http_receiver(HANG) as hanging:
        [late] = await in_thread(lambda requests: requests.post(hanging.url, data=b"x", timeout=(5, 0.2)))
    async with http_receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n") as closing:
        [cut] = await in_thread(lambda requests: requests.post(closing.url, data=b"x", timeout=5))
    [refused] = await in_thread(lambda requests: requests.post(f"http://127.0.0.1:{free_port()}", timeout=5))
    [unknown] = await in_thread(lambda requests: requests.post("http://no-such-host.invalid/", timeout=5))
    assert [one.is_unanswered for one in (late, cut, refused, unknown)] == [True, True, False, False]


async def test_each_thread_records_only_its_own_exchanges() -> None:
    async with http_receiver(answer(200)) as receiver:
        both = threading.Barrier(2)

        def twice(requests: Any) -> None:
            for _ in range(2):
                both.wait(5)
                requests.post(receiver.url, data=b"x", timeout=5)

        found: list[list[Exchange]] = []

        async def one() -> None:
            found.append(await in_thread(twice))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
    assert [len(seen) for seen in found] == [2, 2]


@pytest.mark.parametrize(("body", "wait_s"), [(b'{"retry_after":0.65}', 0.65), (b"", None)])
async def test_after_a_rate_limit_a_plugin_sends_nothing_more(body: bytes, wait_s: float | None) -> None:
    async with http_receiver(answer(429, body), answer(200)) as receiver:

        def insistent(requests: Any) -> None:
            for _ in range(3):
                requests.post(receiver.url, data=b"x", timeout=5)

        [seen] = await in_thread(insistent)
        assert len(receiver.requests) == 1
        assert seen.requested_wait_s == wait_s
        [later] = await in_thread(lambda requests: requests.post(receiver.url, data=b"x", timeout=5))
        assert later.is_good


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait_s"),
    [
        (429, {"retry-after": "30"}, b"", 30.0),
        (503, {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:07 GMT"}, b"", 30.0),
        (429, {"retry-after": "0.65"}, b"", 0.65),
        (429, {"x-ratelimit-reset-after": "1.5"}, b'{"message":"limited","retry_after":64.57,"global":false}', 64.57),
        (429, {}, b'{"ok":false,"error_code":429,"parameters":{"retry_after":14}}', 14.0),
        (429, {}, b'{"ok":false,"parameters":{"migrate_to_chat_id":-1}}', None),
        (429, {"retry-after": "-1"}, b'{"retry_after":"soon"}', None),
        (429, {}, b'{"retry_after":true}', None),
        (429, {"retry-after": "inf"}, b'{"retry_after":NaN}', None),
        (400, {"x-ratelimit-reset-after": "30"}, b"[]", None),
        (200, {"retry-after": "30"}, b'{"retry_after":3}', None),
    ],
)
def test_a_requested_wait_is_found_in_headers_and_json(
    status: int, headers: Mapping[str, str], body: bytes, wait_s: float | None
) -> None:
    answered = Answer(status=status, headers=headers, body=body, complete=True, trouble="", is_over_cap=False)
    assert Exchange(method="POST", url="http://x", answer=answered).requested_wait_s == wait_s


def test_an_unanswered_request_has_no_retry_time() -> None:
    assert Exchange(method="POST", url="http://x").requested_wait_s is None
