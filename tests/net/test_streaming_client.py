"""The client of the gateway, against real servers on loopback."""

from __future__ import annotations

import gzip
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from bridge.errors import ConfigError
from bridge.net import httpx_connections
from bridge.net.client import Unanswered
from bridge.net.failure_kinds import BodyStopped, Failure
from bridge.net.httpx_connections import StreamedAnswer
from bridge.net.streaming_client import StreamedRequest, StreamingClient, whole_answer
from tests.loopback import Exchange, Loopback, answers, loopback

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@asynccontextmanager
async def client_of(server: Loopback) -> AsyncGenerator[StreamingClient, None]:
    client = StreamingClient(base_url=f"{server.url}/base", most_idle=4)
    yield client
    await client.aclose()


async def body_of(answer: StreamedAnswer | Unanswered) -> bytes:
    assert isinstance(answer, StreamedAnswer), answer
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.aclose()


async def test_target_and_headers_arrive_as_they_are_and_the_connection_is_kept() -> None:
    async with (
        loopback(answers(302, b"moved", {"Location": "http://elsewhere/", "X-Two": "1"})) as server,
        client_of(server) as client,
    ):
        for _ in range(3):
            request = StreamedRequest("PATCH", b"/a/../%2e?x=%0a&&", [(b"X-Odd", b"1"), (b"X-Odd", b"2")])
            answer = await client.send(request)
            assert isinstance(answer, StreamedAnswer)
            assert answer.status == 302
            assert (b"Location", b"http://elsewhere/") in answer.headers
            assert await body_of(answer) == b"moved"
    assert [asked.target for asked in server.asked] == ["/a/../%2e?x=%0a&&"] * 3
    assert server.asked[0].headers["host"] == server.url.removeprefix("http://")
    assert server.connections == 1


async def test_a_compressed_body_is_passed_on_compressed() -> None:
    packed = gzip.compress(b"x" * 1000)
    async with loopback(answers(200, packed, {"Content-Encoding": "gzip"})) as server, client_of(server) as client:
        answer = await client.send(StreamedRequest("GET", b"/", []))
        assert await body_of(answer) == packed


async def test_request_and_answer_stream_at_the_same_time_as_they_arrive() -> None:
    first_arrived, may_go_on = anyio.Event(), anyio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await may_go_on.wait()
        await exchange.raw(b"3\r\ntwo\r\n0\r\n\r\n")

    async def upload() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cd"

    async with loopback(script) as server, client_of(server) as client:
        headers = [(b"Content-Length", b"4")]
        answer = await client.send(StreamedRequest("POST", b"/", headers, upload()))
        assert isinstance(answer, StreamedAnswer)
        seen = b""
        async for chunk in answer.chunks():
            seen += chunk
            first_arrived.set()
            may_go_on.set()
        await answer.aclose()
    assert seen == b"onetwo"
    assert server.asked[0].body == b"abcd"


async def test_a_body_that_is_cut_is_reported() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await exchange.close()

    async with loopback(script) as server, client_of(server) as client:
        answer = await client.send(StreamedRequest("GET", b"/", []))
        with pytest.raises(BodyStopped, match="closed"):
            await body_of(answer)


async def test_a_get_but_no_post_is_repeated_after_a_just_closed_connection() -> None:
    async def script(exchange: Exchange) -> None:
        if len(server.asked) % 2:
            await exchange.answer(200, b"ok")
        else:
            await exchange.close()

    async with loopback(script) as server, client_of(server) as client:
        assert await body_of(await client.send(StreamedRequest("GET", b"/1", []))) == b"ok"
        assert await body_of(await client.send(StreamedRequest("GET", b"/2", []))) == b"ok"
        lost = await client.send(StreamedRequest("POST", b"/3", [(b"Content-Length", b"1")], b"x"))
        assert isinstance(lost, Unanswered)
        assert lost.kind is Failure.RESET
    assert [asked.target for asked in server.asked] == ["/1", "/2", "/2", "/3"]


async def test_a_missing_answer_is_a_value() -> None:
    async with loopback(answers(200)) as server:
        pass
    async with client_of(server) as client:
        refused = await client.send(StreamedRequest("GET", b"/", []))
    assert isinstance(refused, Unanswered)
    assert refused.kind is Failure.CONNECT


async def test_bytes_after_an_answer_are_not_taken_for_the_next_one() -> None:
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + smuggled)

    async with loopback(script) as server, client_of(server) as client:
        for _ in range(3):
            assert await body_of(await client.send(StreamedRequest("GET", b"/", []))) == b"good"


def test_a_buffered_answer_is_read_as_a_fetched_one(anyio_backend: str) -> None:
    headers = [(b"Content-Encoding", b"gzip"), (b"Retry-After", b"7")]
    answer = whole_answer(429, headers, gzip.compress(b'{"a": 1}'), cap_bytes=100)
    assert (answer.status, answer.body, answer.complete) == (429, b'{"a": 1}', True)
    assert answer.headers["retry-after"] == "7"
    bomb = whole_answer(200, headers, gzip.compress(b"x" * 10_000_000), cap_bytes=100)
    assert (len(bomb.body), bomb.complete, bomb.is_over_cap) == (100, False, True)
    assert not whole_answer(200, [(b"Content-Encoding", b"br")], b"\x0b\x00", cap_bytes=100).complete


def test_a_proxy_that_cannot_be_used_is_a_mistake_in_the_settings(anyio_backend: str) -> None:
    with pytest.raises(ConfigError, match="proxy"):
        StreamingClient(base_url="https://api.example.com", most_idle=1, proxy="socks5://127.0.0.1:1")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")
async def test_a_connection_that_acknowledges_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx_connections, "GONE_S", 1)
    with socket.socket() as deaf:  # it accepts no data once its buffer is full, and never reads
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        at = f"127.0.0.1:{deaf.getsockname()[1]}"
        client = StreamingClient(base_url=f"http://{at}", most_idle=1)
        with anyio.fail_after(20):
            found = await client.send(
                StreamedRequest("POST", b"/", [(b"Content-Length", b"8000000")], b"x" * 8_000_000)
            )
        await client.aclose()
    assert found == Unanswered(kind=Failure.TIMEOUT, reason=f"no answer from {at} in time")


async def test_a_proxy_that_requires_a_password_has_not_answered_for_the_provider() -> None:
    async with loopback(answers(407, b"<html>log in</html>")) as server, client_of(server) as client:
        found = await client.send(StreamedRequest("GET", b"/", []))
    reason = "the proxy requires a valid user name and password (HTTP 407)"
    assert found == Unanswered(kind=Failure.CONNECT, reason=reason)
