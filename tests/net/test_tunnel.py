"""TLS through a proxy: the proxy gets only the name of the host and its own key. The host gets everything else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trustme

from bridge.net.client import Answer, Request, Unanswered
from bridge.net.failure_kinds import Failure
from tests.loopback import Exchange, answers, loopback
from tests.net.pair import client_of
from tests.net.tunnel import context_for, tunnel

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel_carries_tls_to_the_host_and_is_kept(authority: trustme.CA, tmp_path: Path, scheme: str) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = context_for(authority, "127.0.0.1") if scheme == "https" else None
    async with (
        loopback(answers(200, b"{}"), tls=context_for(authority, "api.invalid")) as host,
        tunnel(host.port, tls) as proxy,
        client_of(proxy=f"{scheme}://me:word@127.0.0.1:{proxy.port}", ca_file=str(tmp_path / "ca.pem")) as client,
    ):
        asked = Request(method="GET", url="https://api.invalid/a", headers={"authorization": "Bearer key"})
        found = [await client.fetch(asked, cap_bytes=99) for _ in range(3)]

    assert [each.body for each in found if isinstance(each, Answer)] == [b"{}"] * 3, found
    assert host.connections == 1
    assert {each.headers["authorization"] for each in host.asked} == {"Bearer key"}
    assert not any("proxy-authorization" in each.headers for each in host.asked)
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT api.invalid:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic bwu6d29yza==" in head.lower()
    assert b"bearer" not in head.lower()


async def test_a_407_that_came_through_a_tunnel_does_not_name_its_proxy(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with (
        loopback(answers(407), tls=context_for(authority, "api.invalid")) as host,
        tunnel(host.port, None) as proxy,
        client_of(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=str(tmp_path / "ca.pem")) as client,
    ):
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)

    reason = "the proxy requires a valid user name and password (HTTP 407)"
    assert found == Unanswered(kind=Failure.CONNECT, reason=reason)


async def test_a_host_behind_a_tunnel_is_not_trusted_for_another(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with (
        loopback(answers(200, b"{}"), tls=context_for(authority, "other.invalid")) as host,
        tunnel(host.port, None) as proxy,
        client_of(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=str(tmp_path / "ca.pem")) as client,
    ):
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert found.kind is Failure.TLS
    assert host.asked == []


async def test_a_proxy_that_does_not_speak_http_is_reported(authority: trustme.CA) -> None:
    async with (
        loopback(answers(200), tls=context_for(authority, "api.invalid")) as host,
        tunnel(host.port, None, b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as proxy,
        client_of(proxy=f"http://127.0.0.1:{proxy.port}") as client,
    ):
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert found.kind in {Failure.CONNECT, Failure.PROTOCOL}


@pytest.mark.parametrize("url", ["http://api.invalid/a", "https://api.invalid/a"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_dead_proxy_is_named_instead_of_the_target_without_its_password(url: str, scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # this port does not listen
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        async with client_of(proxy=f"{scheme}://me:s3cret-word@{at}") as client:
            found = await client.fetch(Request(method="GET", url=url), cap_bytes=99)
    assert found == Unanswered(kind=Failure.CONNECT, reason=f"the proxy {at} refused the connection")


async def test_a_proxy_whose_name_does_not_resolve_is_named() -> None:
    async with client_of(proxy="http://me:s3cret-word@proxy.invalid:3128") as client:
        found = await client.fetch(Request(method="GET", url="https://api.example.test/"), cap_bytes=99)
    assert found == Unanswered(kind=Failure.DNS, reason="the name of the proxy proxy.invalid:3128 does not resolve")


@pytest.mark.parametrize("url", ["http://api.invalid/a", "https://api.invalid/a"])
async def test_a_proxy_that_hangs_is_named(transport: str, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        async with client_of(proxy=f"http://me:s3cret-word@{at}", timeout_s=0.5) as client:
            found = await client.fetch(Request(method="GET", url=url), cap_bytes=99)
    reason = f"no answer from api.invalid through the proxy {at} in time"
    is_unsent = transport == "asyncio" and url.startswith("https:")
    assert found == Unanswered(kind=Failure.TIMEOUT, reason=reason, is_unsent=is_unsent)


async def test_a_proxy_that_closes_the_connection_is_named(transport: str) -> None:
    async with loopback(Exchange.close) as proxy, client_of(proxy=proxy.url) as client:
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)
    at = proxy.url.removeprefix("http://")
    where = f"the proxy {at}" if transport == "asyncio" else f"api.invalid through the proxy {at}"
    assert isinstance(found, Unanswered)
    assert found.reason == f"{where} closed the connection before it had answered"


async def test_a_proxy_that_refuses_is_named_with_the_target(authority: trustme.CA) -> None:
    async with (
        loopback(answers(200), tls=context_for(authority, "api.invalid")) as host,
        tunnel(host.port, None, b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n") as proxy,
        client_of(proxy=f"http://me:s3cret-word@127.0.0.1:{proxy.port}") as client,
    ):
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)
    reason = f"the proxy 127.0.0.1:{proxy.port} requires a valid user name and password (HTTP 407)"
    assert found == Unanswered(kind=Failure.CONNECT, reason=reason)
