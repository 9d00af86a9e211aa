"""TLS through a proxy: the proxy is told the host and its own key, the host gets the rest."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest
import trustme
from anyio.streams.tls import TLSListener

from bridge.net.client import Answer, Request, Unanswered
from bridge.net.failures import Failure
from tests.loopback import answers, loopback
from tests.net.pair import client_of

pytestmark = pytest.mark.usefixtures("transport")

OPENED = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n"


class Proxy:
    """Tunnels everything to one port, whatever host it is asked for."""

    def __init__(self, behind: int, said: bytes) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self._behind = behind
        self._said = said

    async def handle(self, near: anyio.abc.ByteStream) -> None:
        async with near:
            try:
                self.heads.append(await near.receive())
                await near.send(self._said)
                async with (
                    await anyio.connect_tcp("127.0.0.1", self._behind) as far,
                    anyio.create_task_group() as group,
                ):
                    group.start_soon(_pump, near, far)
                    await _pump(far, near)
                    group.cancel_scope.cancel()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


async def _pump(there: anyio.abc.ByteStream, here: anyio.abc.ByteStream) -> None:
    try:
        while True:
            await here.send(await there.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


def _context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def _proxy(behind: int, tls: ssl.SSLContext | None, said: bytes = OPENED) -> AsyncIterator[Proxy]:
    proxy = Proxy(behind, said)
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    listener = tcp if tls is None else TLSListener(tcp, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        proxy.port = tcp.extra(anyio.abc.SocketAttribute.local_port)
        group.start_soon(listener.serve, proxy.handle)
        yield proxy
        group.cancel_scope.cancel()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel_carries_tls_to_the_host_and_is_kept(authority: trustme.CA, tmp_path: Path, scheme: str) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = _context(authority, "127.0.0.1") if scheme == "https" else None
    async with (
        loopback(answers(200, b"{}"), tls=_context(authority, "api.invalid")) as host,
        _proxy(host.port, tls) as proxy,
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


async def test_a_host_behind_a_tunnel_is_not_trusted_for_another(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with (
        loopback(answers(200, b"{}"), tls=_context(authority, "other.invalid")) as host,
        _proxy(host.port, None) as proxy,
        client_of(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=str(tmp_path / "ca.pem")) as client,
    ):
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert found.kind is Failure.TLS
    assert host.asked == []


async def test_a_proxy_that_does_not_speak_http_is_told(authority: trustme.CA) -> None:
    async with (
        loopback(answers(200), tls=_context(authority, "api.invalid")) as host,
        _proxy(host.port, None, b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as proxy,
        client_of(proxy=f"http://127.0.0.1:{proxy.port}") as client,
    ):
        found = await client.fetch(Request(method="GET", url="https://api.invalid/"), cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert found.kind in {Failure.CONNECT, Failure.PROTOCOL}
