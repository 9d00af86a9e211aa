"""One exchange under one deadline, against a real server that misbehaves."""

from __future__ import annotations

import gzip
import resource
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import anyio
import anyio.abc
import pytest

from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.net.exchange import WireRequest, WireResponse
from bridge.net.failure_kinds import Failure
from tests.loopback import Exchange, Script, answers
from tests.net.pair import pair
from tests.stopwatch import Stopwatch

pytestmark = [pytest.mark.usefixtures("unmeasured"), pytest.mark.usefixtures("transport")]

MIB = 1 << 20


async def _outcome(
    script: Script, *, method: str = "GET", cap_bytes: int = MIB, timeout_s: float = 5
) -> Answer | Unanswered:
    """The outcome of one exchange with this server."""
    async with pair(script, timeout_s=timeout_s) as (client, server):
        with anyio.fail_after(timeout_s + 5):
            return await client.fetch(Request(method=method, url=server.url), cap_bytes=cap_bytes)


async def _answer(script: Script, *, method: str = "GET", cap_bytes: int = MIB, timeout_s: float = 5) -> Answer:
    outcome = await _outcome(script, method=method, cap_bytes=cap_bytes, timeout_s=timeout_s)
    assert isinstance(outcome, Answer), outcome
    return outcome


def _says(data: bytes) -> Script:
    """Send these bytes and close."""

    async def script(exchange: Exchange) -> None:
        await exchange.raw(data)
        await exchange.close()

    return script


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_an_answer_has_its_status_body_and_relevant_headers() -> None:
    headers = {"Retry-After": "7", "Content-Type": "application/json", "X-Other": "1", "Set-Cookie": "a=b"}
    answer = await _answer(answers(503, b"{}", headers))

    assert (answer.status, answer.body, answer.complete, answer.trouble) == (503, b"{}", True, "")
    assert {**answer.headers, "date": ""} == {"retry-after": "7", "content-type": "application/json", "date": ""}


async def test_an_answer_without_a_date_gets_that_of_its_arrival() -> None:
    dated = await _answer(answers(429, headers={"Date": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    undated = await _answer(answers(429))

    assert dated.headers["date"] == "Wed, 21 Oct 2015 07:28:00 GMT"
    arrived_at = parsedate_to_datetime(undated.headers["date"])
    assert abs(arrived_at - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/a/../b/./c//%2e%2e/%2F?x=/../&y=%zz#part", "/a/../b/./c//%2e%2e/%2F?x=/../&y=%zz"),
        ("/:x@y;z='\"<>{}|\\^`", "/:x@y;z='\"<>{}|\\^`"),
    ],
)
async def test_a_url_is_sent_unchanged(path: str, sent: str) -> None:
    async with pair(answers(200)) as (client, server):
        await client.fetch(Request(method="GET", url=server.url + path), cap_bytes=9)

    assert server.asked[0].target == sent


async def test_only_the_given_headers_are_sent_and_the_body_is_unchanged() -> None:
    async with pair(answers(204)) as (client, server):
        answer = await client.fetch(
            Request(method="POST", url=server.url, headers={"X-A": "1"}, body=b'{"a": 1}'), cap_bytes=9
        )

    (asked,) = server.asked
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.complete) == (204, b"", True)
    assert asked.body == b'{"a": 1}'
    assert asked.headers == {"host": f"127.0.0.1:{server.port}", "x-a": "1", "content-length": "8"}


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (_says(b"HTTP/1.0 200 OK\r\n\r\nold"), b"old"),
        (_says(b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nold"), b"old"),
        (_says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nold"), b"old"),
        (_says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n"), b"old"),
        (_says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nold\r\n0  \r\n\r\n"), b"old"),
        (_says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"old")), b"old"),
        (_says(b"HTTP/1.1 200 OK\r\n\r\n\xef\xbb\xbfold"), b"old"),
        (_says(b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\nContent-Length: 0\r\n\r\n"), b""),
    ],
)
async def test_unusual_valid_answers_are_read_completely(script: Script, body: bytes) -> None:
    answer = await _answer(script)

    assert (answer.status, answer.body, answer.complete) == (200, body, True)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Failure.RESET),
        (b"HTTP/1.1 20", Failure.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Failure.RESET),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Failure.PROTOCOL),
        (
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 40) for n in range(5000)) + b"\r\n",
            Failure.PROTOCOL,
        ),
    ],
)
async def test_a_missing_answer_is_returned_as_a_value(data: bytes, kind: Failure) -> None:
    outcome = await _outcome(_says(data))

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is kind
    assert outcome.reason.isprintable()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
async def test_an_empty_body_is_complete_in_every_encoding(coding: str) -> None:
    async def script(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await exchange.raw(head.encode())
        await anyio.sleep(0.05)
        await exchange.raw(b"0\r\n\r\n")

    answer = await _answer(script)

    assert (answer.body, answer.complete) == (b"", True)


async def test_thousands_of_short_headers_do_no_harm() -> None:
    head = b"".join(b"X-%d: y\r\n" % number for number in range(5000))
    answer = await _answer(_says(b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 2\r\n\r\n{}"))

    assert (answer.body, set(answer.headers)) == (b"{}", {"date"})


async def test_a_reset_before_the_answer_is_reported_without_repeating_a_post() -> None:
    async with pair(Exchange.reset) as (client, server):
        for method in ("GET", "POST"):
            outcome = await client.fetch(Request(method=method, url=f"{server.url}/?key=secret"), cap_bytes=9)

            assert isinstance(outcome, Unanswered)
            assert outcome.kind is Failure.RESET
            assert outcome.reason == f"127.0.0.1:{server.port} closed the connection before it had answered"

    assert [asked.method for asked in server.asked] == ["GET", "POST"]


CUT = "the connection was closed in the middle of the body"


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", CUT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf", CUT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", "the body is not valid HTTP"),
    ],
)
async def test_a_status_line_counts_although_the_body_is_cut(data: bytes, trouble: str) -> None:
    answer = await _answer(_says(data))

    assert (answer.status, answer.body, answer.complete, answer.trouble) == (200, b"half", False, trouble)


@pytest.mark.parametrize("trailer", [b"no colon", b"Content-Length: 3", b"X: \x00"])
async def test_a_body_is_complete_although_its_trailers_are_invalid(trailer: bytes, transport: str) -> None:
    answer = await _answer(
        _says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n" + trailer + b"\r\n\r\n")
    )

    assert answer.body == b"half"
    assert answer.complete or transport == "httpx"  # h11 refuses some of them


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (407, "the proxy requires a valid user name and password (HTTP 407)"),
        (511, "no connection to {}: this network requires a login first (HTTP 511)"),
    ],
)
async def test_an_answer_of_the_network_is_no_answer(status: int, reason: str) -> None:
    async with pair(answers(status, b"<html>log in</html>")) as (client, server):
        found = await client.fetch(Request(method="POST", url=server.url, body=b"{}"), cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert found.reason == reason.format(server.url.removeprefix("http://"))
    assert not found.may_have_arrived


async def test_a_status_line_counts_although_the_connection_is_reset() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
        await anyio.sleep(0.1)
        await exchange.reset()

    answer = await _answer(script)

    assert (answer.status, answer.body, answer.complete, answer.trouble) == (200, b"half", False, CUT)


async def test_a_status_line_counts_although_the_body_hangs() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 202 OK\r\nContent-Length: 99\r\n\r\nhalf")
        await exchange.hang()

    waiting = Stopwatch()
    answer = await _answer(script, timeout_s=0.3)

    assert (answer.status, answer.body, answer.complete) == (202, b"half", False)
    assert answer.trouble == "the time-out passed in the middle of the body"
    assert waiting.seconds < 2


async def test_the_deadline_covers_the_whole_exchange_even_with_slow_bytes() -> None:
    async def script(exchange: Exchange) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1000:
            await exchange.raw(bytes([byte]))
            await anyio.sleep(0.02)

    waiting = Stopwatch()
    outcome = await _outcome(script, timeout_s=0.4)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TIMEOUT
    assert waiting.seconds < 2


async def test_endless_informational_answers_end_at_the_deadline() -> None:
    async def script(exchange: Exchange) -> None:
        while True:
            await exchange.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
            await anyio.sleep(0.001)

    outcome = await _outcome(script, timeout_s=0.3)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TIMEOUT


async def test_a_huge_body_is_read_no_further_than_the_cap() -> None:
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 524288000\r\n\r\n")
        for _ in range(500):
            await exchange.raw(b"x" * MIB)
            sent += MIB

    before = _rss_bytes()
    answer = await _answer(script)

    assert (answer.complete, answer.is_over_cap, answer.trouble) == (False, True, f"body over {MIB} bytes")
    assert answer.body == b"x" * MIB
    assert sent < 32 * MIB
    assert _rss_bytes() - before < 50 * MIB


@pytest.mark.parametrize("begin", [b"0\r\nX-Trailer: ", b"1;extension="], ids=["trailer", "extension"])
async def test_an_endless_line_after_the_head_is_not_read_to_its_end(begin: bytes) -> None:
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + begin)
        for _ in range(16):
            await exchange.raw(b"x" * MIB)
            sent += MIB

    answer = await _answer(script)

    assert (answer.body, answer.complete) == (b"{}", False)
    assert sent < 8 * MIB


async def test_a_gzip_bomb_costs_no_more_than_the_cap() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(b"\0" * MIB) for _ in range(500)), packer.flush()])
    before = _rss_bytes()
    answer = await _answer(_says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + bomb))

    assert (answer.complete, answer.is_over_cap, len(answer.body)) == (False, True, MIB)
    assert _rss_bytes() - before < 50 * MIB


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
async def test_an_unrequested_encoding_makes_the_answer_incomplete(encoding: str) -> None:
    answer = await _answer(answers(200, b"hello", {"Content-Encoding": encoding}))

    assert (answer.status, answer.body, answer.complete) == (200, b"", False)


async def test_redirects_are_not_followed_and_cookies_are_not_kept() -> None:
    headers = {"Location": "http://127.0.0.1:1/", "Set-Cookie": "session=1"}
    async with pair(answers(302, b"", headers)) as (client, server):
        for _ in range(2):
            answer = await client.fetch(Request(method="GET", url=server.url), cap_bytes=9)

    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:1/")
    assert len(server.asked) == 2
    assert "cookie" not in server.asked[1].headers


async def test_the_client_sends_through_the_given_transport() -> None:
    class Echo:
        async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
            reply.begin(200, {})
            assert reply.body is not None
            reply.body.feed(message.target)
            reply.body.finish()

        async def aclose(self) -> None: ...

    client = HttpClient(timeout_s=1, concurrency=1, transport=Echo())
    answer = await client.fetch(Request(method="GET", url="http://x/a/../b"), cap_bytes=99)

    assert isinstance(answer, Answer)
    assert answer.body == b"/a/../b"


async def test_headers_of_one_request_are_not_sent_with_the_next() -> None:
    shared = {"x-shared": "all"}
    async with pair(answers(200, b"{}")) as (client, server):
        for more, body in (({"x-own": "1"}, b"four"), ({"x-other": "2"}, b""), ({}, None)):
            await client.fetch(
                Request(method="POST", url=server.url, headers=shared, body=body, more=more), cap_bytes=9
            )
        await client.fetch(Request(method="GET", url=server.url, headers=shared), cap_bytes=9)

    ours = [
        {name: value for name, value in asked.headers.items() if name.startswith("x-") or name == "content-length"}
        for asked in server.asked
    ]
    assert ours == [
        {"x-shared": "all", "x-own": "1", "content-length": "4"},
        {"x-shared": "all", "x-other": "2", "content-length": "0"},
        {"x-shared": "all", "content-length": "0"},
        {"x-shared": "all"},
    ]
    assert server.connections == 1
