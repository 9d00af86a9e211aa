from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bridge.errors import Unavailable, UsageError
from bridge.net.http_server import listen, listen_unix, serve_on, split_address
from tests.served import served
from tests.stopwatch import Stopwatch


async def greet(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def swallow(request: Request) -> PlainTextResponse:
    await request.body()
    return PlainTextResponse("all of it")


async def hang(_: Request) -> PlainTextResponse:
    await anyio.sleep_forever()
    raise AssertionError


APP = Starlette(
    routes=[
        Route("/", greet),
        Route("/swallow", swallow, methods=["POST"]),
        Route("/hang", hang),
    ]
)


async def test_port_0_gives_a_free_port_that_answers_at_once() -> None:
    async with served(APP) as client:
        assert (await client.get("/")).text == "hello"
        assert client.base_url.port not in {0, None}


async def test_a_response_does_not_wait_for_the_acknowledgement_of_the_previous_one() -> None:
    took_s: list[float] = []
    async with served(APP) as client:
        for _ in range(10):
            asking = Stopwatch()
            await client.get("/")
            took_s.append(asking.seconds)
    assert min(took_s[1:]) < 0.03, "the kernel acknowledges after 0.04 s"


async def test_no_signal_handler_is_installed() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with served(APP) as client:
        await client.get("/")
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn")
    async with served(APP) as client:
        await client.get("/")
    assert [record.name for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_cancellation_frees_the_port_within_a_second() -> None:
    async with served(APP) as client:
        await client.get("/")  # leaves an idle connection behind
        port = client.base_url.port
        ending = Stopwatch()
    assert ending.seconds < 1.0
    assert port is not None
    listen("127.0.0.1", port).close()


async def test_cancellation_before_listening_stops_the_server() -> None:
    ending = Stopwatch()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(serve_on, APP, listen("127.0.0.1", 0))
            group.cancel_scope.cancel()
    assert ending.seconds < 1.0


async def test_a_client_that_never_finishes_its_request_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with served(APP) as client:
        port = client.base_url.port
        assert port is not None
        slow = await anyio.connect_tcp("127.0.0.1", port)
        await slow.send(b"GET / HTTP/1.1\r\nHost: here\r\nX-Half: ")
        ending = Stopwatch()
    assert ending.seconds < 1.0
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
        await slow.receive()
    await slow.aclose()
    assert caplog.records == []


async def test_a_handler_that_hangs_is_cut_off() -> None:
    answered: list[object] = []

    async def ask(client: httpx.AsyncClient) -> None:
        try:
            await client.get("/hang", timeout=None)
        except httpx.RemoteProtocolError as error:
            answered.append(error)

    async with anyio.create_task_group() as group:
        async with served(APP) as client:
            group.start_soon(ask, httpx.AsyncClient(base_url=client.base_url, trust_env=False))
            await anyio.sleep(0.2)
            ending = Stopwatch()
        assert ending.seconds < 1.0
    assert len(answered) == 1


async def test_a_request_in_flight_is_answered_completely() -> None:
    async with served(APP) as client:
        port = client.base_url.port
        assert port is not None
        half = await anyio.connect_tcp("127.0.0.1", port)
        await half.send(b"POST /swallow HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nab")
        await anyio.sleep(0.1)
        finish = anyio.Event()

        async def rest() -> None:
            await finish.wait()
            await half.send(b"cd")

        async with anyio.create_task_group() as group:
            group.start_soon(rest)
            finish.set()
    answer = await half.receive()
    assert answer.startswith(b"HTTP/1.1 200")
    await half.aclose()


def test_a_taken_port_is_unavailable() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(
            Unavailable, match=rf"cannot listen on 127\.0\.0\.1 port {port}: another .*; choose"
        ) as caught:
            listen("127.0.0.1", port)
    assert caught.value.exit_code == 69
    assert "\n" not in str(caught.value)


def test_an_address_of_another_machine_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="not an address of this machine"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("port", [70000, 65536, -1])
def test_an_impossible_port_is_a_usage_error(port: int) -> None:
    with pytest.raises(UsageError, match=f"port {port} does not exist: choose one from 1 to 65535") as caught:
        listen("127.0.0.1", port)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("host", ["", "no such host", "a" * 300])
def test_an_unknown_host_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match="is unknown: give an address of this machine"):
        listen(host, 0)


def test_an_invalid_address_fails_before_any_request() -> None:
    with pytest.raises(UsageError):
        listen("127.0.0.1", 70000)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8700", ("127.0.0.1", 8700)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("127.0.0.1:70000", ("127.0.0.1", 70000)),
    ],
)
def test_an_address_is_split_into_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["", "8700", ":8700", "localhost", "localhost:", "localhost:http", "::1:80", "[]:80"])
def test_an_invalid_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"write HOST:PORT, such as 127\.0\.0\.1:8642"):
        split_address(text)


async def answer_to(client: httpx.AsyncClient, *parts: bytes) -> bytes:
    """Everything that the server sends to a client that sends these parts, until it closes the connection."""
    stream = await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0)
    answer = b""
    async with stream:
        with suppress(anyio.BrokenResourceError):
            for part in parts:
                await stream.send(part)
        with anyio.fail_after(20), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                answer += await stream.receive()
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"POST /swallow HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX-A: b\x00c\r\n\r\n",
        b"CONNECT here:80 HTTP/1.1\r\nHost: here\r\n\r\n",
    ],
)
async def test_data_that_is_not_http_gets_a_problem_document(request_: bytes) -> None:
    async with served(APP) as client:
        head, _, body = (await answer_to(client, request_)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["status"] == 400


async def test_blanks_after_a_header_are_not_part_of_its_value() -> None:
    async def told(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.headers["last-event-id"] + "|")

    request_ = b"GET / HTTP/1.1\r\nHost: here\r\nLast-Event-ID:  17 \t\r\nConnection: close\r\n\r\n"
    async with served(Starlette(routes=[Route("/", told)])) as client:
        answer = await answer_to(client, request_)
    assert answer.endswith(b"\r\n\r\n17|")


async def test_a_trailer_is_not_a_header() -> None:
    async def told(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse(" ".join(request.headers) + "|")

    head = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailers = b"0\r\nAuthorization: Bearer secret\r\n\r\n"
    second = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    async with served(Starlette(routes=[Route("/", told, methods=["GET", "POST"])])) as client:
        answer = await answer_to(client, head + trailers + second)
    assert b"\r\n\r\nhost transfer-encoding|" in answer
    assert answer.endswith(b"\r\n\r\nhost connection|")


async def test_a_head_of_any_length_is_refused() -> None:
    headers = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 1000) for number in range(100))
    async with served(APP) as client:
        answer = await answer_to(client, b"GET / HTTP/1.1\r\nHost: here\r\n" + headers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("begin", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"431"),
        (b"GET / HTTP/1.1\r\nX", b"431"),
        (b"POST /swallow HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"400"),
        (b"POST /swallow HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"400"),
    ],
)
async def test_a_line_without_end_is_refused_before_it_has_ended(begin: bytes, status: bytes) -> None:
    async with served(APP) as client:
        answer = await answer_to(client, begin, *[b"x" * 65536] * 32)
    assert answer.startswith(b"HTTP/1.1 " + status) or not answer  # a reset may overtake the answer


@pytest.mark.parametrize(
    ("then", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: here\r\n" + b"X: %b\r\n" % (b"x" * 70000) + b"\r\n", b"431"),
        (b"POST /swallow HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nGARBAGE\r\n", b"400"),
    ],
)
async def test_garbage_after_a_request_does_not_lose_its_answer(then: bytes, status: bytes) -> None:
    request_ = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    async with served(APP) as client:
        answer = await answer_to(client, request_ * 2 + then)
    starts = [line.split(b" ")[1] for line in answer.split(b"\r\n") if b"HTTP/1.1 " in line]
    assert starts == [b"200", b"200", status]


async def test_a_request_that_another_follows_notices_a_disconnect() -> None:
    noticed = anyio.Event()

    async def follow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        noticed.set()

    async with served(follow) as client:
        async with await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" * 2)
            await stream.receive()
        with anyio.fail_after(5):
            await noticed.wait()


@pytest.mark.long
async def test_a_head_that_does_not_arrive_in_ten_seconds_is_refused() -> None:
    async with served(APP) as client:
        begun_at, waiting = time.monotonic(), Stopwatch()
        answers: list[bytes] = []

        async def ask(*parts: bytes) -> None:
            answers.append(await answer_to(client, *parts))

        async with anyio.create_task_group() as group:
            group.start_soon(ask, b"")
            group.start_soon(ask, b"GET / HTTP/1.1\r\nHost: he")
            group.start_soon(ask, b"GET / HTTP/1.1\r\nHost: here\r\n\r\nGET / HT")
    assert time.monotonic() - begun_at > 9.0
    assert waiting.seconds < 20.0
    assert sorted(answer.count(b"HTTP/1.1 408 ") for answer in answers) == [1, 1, 1]
    assert sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers) == 1


@pytest.mark.long
async def test_a_body_that_nobody_reads_keeps_no_connection_open() -> None:
    async with served(APP) as client, await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        with anyio.fail_after(20), suppress(anyio.BrokenResourceError):
            while True:
                await stream.send(b"x")
                await anyio.sleep(0.2)


def test_a_unix_socket_is_for_owner_and_group_and_replaces_dead_ones(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with listen_unix(path):
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(Unavailable, match="another program is listening there"):
            listen_unix(path)
    with listen_unix(path):  # the first one left its file
        assert path.is_socket()
    with pytest.raises(Unavailable, match=r"there is no folder .*/missing; make it"):
        listen_unix(tmp_path / "missing" / "socket")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(Unavailable, match="this is not a socket"):
        listen_unix(tmp_path / "notes.txt")
    with pytest.raises(Unavailable, match="longer than 107 bytes"):
        listen_unix(tmp_path / ("x" * 108))


def test_a_unix_socket_of_a_program_that_accepts_nothing_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as callers:
        listener.bind(str(path))
        listener.listen(0)
        is_full = False
        while not is_full:
            caller = callers.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            is_full = caller.connect_ex(str(path)) == errno.EAGAIN
        with pytest.raises(Unavailable, match="another program is listening there"):
            listen_unix(path)


def test_a_unix_socket_of_another_user_is_not_replaced(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becomes another user: needs root")
    folder = Path(tempfile.mkdtemp())  # pytest's own is private
    folder.chmod(0o777)
    with listen_unix(folder / "socket"):
        os.setegid(65534)
        os.seteuid(65534)
        try:
            with pytest.raises(Unavailable, match="another program is listening there"):
                listen_unix(folder / "socket")
        finally:
            os.seteuid(0)
            os.setegid(0)
            shutil.rmtree(folder)
