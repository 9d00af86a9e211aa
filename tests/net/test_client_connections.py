"""Connections are kept, reused and not leaked; unreachable servers are reported."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path

import anyio
import anyio.abc
import pytest

from bridge.clock import boot_s
from bridge.errors import ConfigError
from bridge.net import asyncio_transport, connector, httpx_connections
from bridge.net.asyncio_transport import KEEP_ALIVE_S
from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.net.failure_kinds import Failure
from tests.loopback import Exchange, Loopback, Script, answers, loopback
from tests.net.pair import client, client_of, pair
from tests.stopwatch import until

pytestmark = pytest.mark.usefixtures("transport")


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_one_connection_is_kept_per_concurrent_request() -> None:
    async def script(exchange: Exchange) -> None:
        await anyio.sleep(0.01)
        await exchange.answer(200, b"{}")

    async with pair(script, concurrency=8) as (client, server):

        async def ask() -> None:
            for _ in range(25):
                await client.fetch(Request(method="GET", url=server.url), cap_bytes=99)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask)

    assert len(server.asked) == 200
    assert server.connections <= 8


async def test_no_more_connections_stay_open_than_are_to_be_kept() -> None:
    async def script(exchange: Exchange) -> None:
        await anyio.sleep(0.05)
        await exchange.answer(200, b"{}")

    async with pair(script, concurrency=2) as (client, server):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(_fetch, client, server)

        assert server.connections == 6
        await until(lambda: server.open_connections <= 2)
        assert server.open_connections == 2


async def _fetch(client: HttpClient, server: Loopback) -> None:
    await client.fetch(Request(method="GET", url=server.url), cap_bytes=99)


async def test_closing_the_client_closes_its_connections() -> None:
    async with loopback(answers(200, b"{}")) as server:
        async with client_of() as client:
            await _fetch(client, server)
            assert server.open_connections == 1
        await until(lambda: server.open_connections == 0)


async def test_without_a_free_file_idle_connections_of_other_clients_are_closed(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lack_files(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with pair(answers(200, b"{}")) as (client, server), client_of() as other:
        await _fetch(client, server)
        assert server.open_connections == 1
        monkeypatch.setattr(connector, "start_connection", lack_files)
        if transport == "asyncio":  # the other one does not use this function
            outcome = await other.fetch(Request(method="GET", url=server.url), cap_bytes=99)
            assert isinstance(outcome, Unanswered)
            assert outcome.kind is Failure.LOCAL
            await until(lambda: server.open_connections == 0)


async def test_without_a_free_thread_for_the_name_nothing_was_sent(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with client_of() as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            found = await client.fetch(Request(method="GET", url="http://localhost:1/"), cap_bytes=9)
    assert found == Unanswered(
        kind=Failure.LOCAL, reason="no connection to localhost:1: this machine has no free thread"
    )


def _closes_kept_alive_connections() -> Script:
    """A script that answers the first request of a connection and resets the connection at the second."""
    served: set[int] = set()

    async def script(exchange: Exchange) -> None:
        if exchange.asked.connection in served:
            return await exchange.reset()
        served.add(exchange.asked.connection)
        await exchange.answer(200, b"{}")

    return script


async def test_a_get_on_a_broken_kept_alive_connection_is_repeated_at_once() -> None:
    async with pair(_closes_kept_alive_connections()) as (client, server):
        outcomes = [await client.fetch(Request(method="GET", url=server.url), cap_bytes=9) for _ in range(2)]

    assert [type(outcome) for outcome in outcomes] == [Answer, Answer]
    assert [asked.connection for asked in server.asked] == [1, 1, 2]


async def test_a_post_on_a_broken_kept_alive_connection_is_not_repeated() -> None:
    async with pair(_closes_kept_alive_connections()) as (client, server):
        outcomes = [await client.fetch(Request(method="POST", url=server.url), cap_bytes=9) for _ in range(2)]

    assert [type(outcome) for outcome in outcomes] == [Answer, Unanswered]
    assert len(server.asked) == 2


async def test_a_connection_to_a_failing_server_is_not_used_again() -> None:
    async with pair(answers(503, b"{}")) as (client, server):
        for _ in range(3):
            await client.fetch(Request(method="GET", url=server.url), cap_bytes=9)

    assert server.connections == 3


async def test_a_connection_from_before_the_machine_slept_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair(answers(200, b"{}")) as (client, server):
        await client.fetch(Request(method="GET", url=server.url), cap_bytes=9)
        for room in (asyncio_transport, httpx_connections):
            monkeypatch.setattr(room, "boot_s", lambda: boot_s() + 3600)
        await client.fetch(Request(method="GET", url=server.url), cap_bytes=9)

    assert server.connections == 2


async def test_a_connection_closed_while_idle_is_not_used_again() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, b"{}")
        await exchange.close()

    async with pair(script) as (client, server):
        for _ in range(2):
            outcome = await client.fetch(Request(method="POST", url=server.url), cap_bytes=9)
            await anyio.sleep(0.05)

            assert isinstance(outcome, Answer)

    assert server.connections == 2


@pytest.mark.parametrize("say", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
async def test_a_canceled_exchange_raises_and_leaves_no_connection_behind(say: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(say)
        await exchange.hang()

    async with pair(script, concurrency=1) as (client, server):
        before = _open_files()
        for _ in range(20):
            with anyio.move_on_after(0.02) as scope:
                await _fetch(client, server)
            assert scope.cancelled_caught
        await until(lambda: server.open_connections == 0 and _open_files() <= before)


async def test_after_failures_and_cancellation_the_client_still_works() -> None:
    hang = True

    async def script(exchange: Exchange) -> None:
        await (exchange.hang() if hang else exchange.answer(200, b"{}"))

    async with pair(script, concurrency=1, timeout_s=0.1) as (client, server):
        for _ in range(5):
            assert isinstance(await client.fetch(Request(method="GET", url=server.url), cap_bytes=9), Unanswered)
        hang = False

        assert isinstance(await client.fetch(Request(method="GET", url=server.url), cap_bytes=9), Answer)


async def test_a_port_without_a_server_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with client_of() as client:
        outcome = await client.fetch(Request(method="GET", url=f"http://u:p@127.0.0.1:{port}/?key=x"), cap_bytes=9)

    assert isinstance(outcome, Unanswered)
    assert (outcome.kind, outcome.reason) == (Failure.CONNECT, f"127.0.0.1:{port} refused the connection")


async def test_a_name_that_does_not_resolve_is_reported() -> None:
    async with client_of() as client:
        outcome = await client.fetch(Request(method="GET", url="http://nowhere.invalid/?key=x"), cap_bytes=9)

    assert isinstance(outcome, Unanswered)
    assert (outcome.kind, outcome.reason) == (Failure.DNS, "the name of nowhere.invalid does not resolve")


@pytest.mark.parametrize(
    "request_",
    [
        Request(method="GET", url=""),
        Request(method="GET", url="ftp://127.0.0.1/"),
        Request(method="GET", url="http://"),
        Request(method="GET", url="http://[::1/"),
        Request(method="GET", url="http://127.0.0.1:99999/"),
        Request(method="GET", url="http://127.0.0.1:1/a b"),
        Request(method="GET", url="http://127.0.0.1:1/\r\nX: y"),
        Request(method="GET", url="http://127.0.0.1:1/号"),
        Request(method="GET", url="http://127.0.0.1:1/\ud800"),
        Request(method="GET", url=f"http://{'x' * 70}.example/"),
        Request(method="G T", url="http://127.0.0.1:1/"),
        Request(method="GET", url="http://127.0.0.1:1/", headers={"Authorization": "Bearer secretword\r\nX: y"}),
        Request(method="GET", url="http://127.0.0.1:1/", headers={"Authorization": "Bearer secretword号"}),
        Request(method="GET", url="http://127.0.0.1:1/", headers={"A B": "secretword"}),
    ],
)
async def test_a_request_that_cannot_be_sent_is_a_value_without_secrets(request_: Request) -> None:
    async with client_of() as client:
        outcome = await client.fetch(request_, cap_bytes=9)

    assert isinstance(outcome, Unanswered)
    assert outcome.reason.isprintable()
    assert "secretword" not in outcome.reason


async def test_a_request_goes_to_the_proxy_instead_of_the_host() -> None:
    async with loopback(answers(200, b"{}")) as server, client_of(proxy=server.url) as client:
        answer = await client.fetch(Request(method="GET", url="http://nowhere.invalid/a/../b"), cap_bytes=9)

    assert isinstance(answer, Answer)
    assert server.asked[0].target == "http://nowhere.invalid/a/../b"


async def test_a_proxy_that_refuses_is_reported() -> None:
    async with loopback(answers(403)) as server, client_of(proxy=server.url) as client:
        outcome = await client.fetch(Request(method="GET", url="https://nowhere.invalid/"), cap_bytes=9)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.CONNECT
    at = server.url.removeprefix("http://")
    assert outcome.reason == f"the proxy {at} refused to connect to nowhere.invalid (HTTP 403)"


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async with pair(answers(200)) as (client, server):
        answer = await client.fetch(Request(method="GET", url=server.url), cap_bytes=9)

    assert isinstance(answer, Answer)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense", "ftp://x", "http://", "http://[", "//x"])
async def test_an_invalid_proxy_is_an_error_of_the_settings(proxy: str) -> None:
    with pytest.raises(ConfigError, match="proxy"):
        client(timeout_s=1, concurrency=1, proxy=proxy)


@pytest.mark.parametrize(
    "extra",
    [
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        b"HTTP/1.1 4",
        b"and more",
    ],
)
@pytest.mark.parametrize("wait_s", [0, 0.05])
async def test_unexpected_bytes_are_not_taken_for_the_next_answer(extra: bytes, wait_s: float) -> None:
    sent = [anyio.Event() for _ in range(4)]

    async def script(exchange: Exchange) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + b"%03d" % exchange.asked.connection
        if wait_s:
            await exchange.raw(answer)
            await anyio.sleep(wait_s / 2)
            await exchange.raw(extra)
        else:
            await exchange.raw(answer + extra)
        sent[exchange.asked.connection].set()

    async with pair(script) as (client, server):
        for number in range(1, 4):
            answer = await client.fetch(Request(method="POST", url=server.url), cap_bytes=99)
            await sent[number].wait()
            await anyio.sleep(wait_s)

            assert isinstance(answer, Answer)
            assert (answer.status, answer.body, answer.complete) == (200, b"%03d" % number, True)


async def test_a_get_survives_that_every_kept_connection_breaks() -> None:
    broken = anyio.Event()

    async def script(exchange: Exchange) -> None:
        if broken.is_set() and exchange.asked.connection <= 4:
            return await exchange.reset()
        await anyio.sleep(0.02)
        await exchange.answer(200, b"{}")

    async with pair(script) as (client, server):

        async def ask() -> None:
            assert isinstance(await client.fetch(Request(method="GET", url=server.url), cap_bytes=9), Answer)

        for _ in range(2):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(ask)
            broken.set()

    assert server.connections == 8


@pytest.mark.long
@pytest.mark.parametrize("transport", ["asyncio"], indirect=True)
async def test_idle_connections_are_closed_although_nothing_else_is_sent() -> None:
    async with pair(answers(200, b"{}")) as (client, server):
        await client.fetch(Request(method="GET", url=server.url), cap_bytes=9)
        assert server.open_connections == 1
        await until(lambda: not server.open_connections, within_s=2 * KEEP_ALIVE_S)
