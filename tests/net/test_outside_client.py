"""Bodies of any length from untrusted servers."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from bridge.net.client import Unanswered
from bridge.net.failure_kinds import BodyStopped, Failure
from bridge.net.outside_client import OutsideAnswer, OutsideClient, Pace
from tests.loopback import Exchange, answers, loopback


async def body_of(client: OutsideClient, url: str) -> bytes:
    answer = await client.open(url)
    assert isinstance(answer, OutsideAnswer)
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        answer.close()


async def test_a_long_body_arrives_whole_and_in_order() -> None:
    body = bytes(range(256)) * 20_000
    async with loopback(answers(200, body, {"Content-Type": "video/mp4"})) as server:
        assert await body_of(OutsideClient(hosts=["127.0.0.1"]), f"{server.url}/a%20b/视频.mp4?x=1#part") == body

    assert server.asked[0].target == "/a%20b/%E8%A7%86%E9%A2%91.mp4?x=1"
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_truncated_body_is_an_error() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await exchange.close()

    async with loopback(script) as server:
        with pytest.raises(BodyStopped, match="closed in the middle"):
            await body_of(OutsideClient(hosts=["127.0.0.1"]), server.url)


async def test_a_server_that_stops_sending_times_out() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await exchange.hang()

    async with loopback(script) as server:
        with pytest.raises(BodyStopped, match="the server sent nothing"):
            await body_of(OutsideClient(hosts=["127.0.0.1"], pace=Pace(stall_s=0.2)), server.url)


async def test_a_server_that_sends_too_slowly_times_out() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await exchange.raw(b"x")

    pace = Pace(window_s=0.3, least_bytes=1 << 30)
    async with loopback(script) as server:
        with pytest.raises(BodyStopped, match="too slow"):
            await body_of(OutsideClient(hosts=["127.0.0.1"], pace=pace), server.url)


async def test_a_server_that_does_not_answer_times_out() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.hang()

    async with loopback(script) as server:
        found = await OutsideClient(hosts=["127.0.0.1"], pace=Pace(head_s=0.2)).open(server.url)

    assert isinstance(found, Unanswered)
    assert found.kind is Failure.TIMEOUT


async def test_certificates_are_verified_at_every_hop(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async with loopback(answers(200, b"film"), tls=context) as secure:
        redirect = answers(302, headers={"Location": f"{secure.url}/film.mp4"})
        async with loopback(redirect) as plain:
            trusting = OutsideClient(hosts=["127.0.0.1"], ca_file=str(tmp_path / "ca.pem"))
            assert await body_of(trusting, plain.url) == b"film"
            found = await OutsideClient(hosts=["127.0.0.1"]).open(plain.url)

    assert isinstance(found, Unanswered)
    assert found.kind is Failure.TLS
