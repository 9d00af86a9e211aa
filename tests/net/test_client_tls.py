"""Which certificates are trusted, and that nothing is sent to servers with other certificates."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
import trustme

from bridge.errors import ConfigError
from bridge.net.client import Answer, Request, Unanswered, trusting
from bridge.net.failure_kinds import Failure
from tests.loopback import Loopback, answers, loopback
from tests.net.pair import client
from tests.stopwatch import until

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@asynccontextmanager
async def _server(cert: trustme.LeafCert) -> AsyncIterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    async with loopback(answers(200, b"{}"), tls=context) as server:
        yield server


async def _asked(url: str, *, ca_file: str | None) -> Answer | Unanswered:
    http = client(timeout_s=5, concurrency=2, ca_file=ca_file)
    try:
        await http.fetch(Request(method="GET", url=url), cap_bytes=999)
        return await http.fetch(Request(method="GET", url=url), cap_bytes=999)
    finally:
        await http.aclose()


async def test_an_authority_of_the_settings_is_trusted_and_connections_are_kept(
    authority: trustme.CA, ca_file: str
) -> None:
    async with _server(authority.issue_cert("127.0.0.1")) as server:
        outcome = await _asked(server.url, ca_file=ca_file)

    assert isinstance(outcome, Answer)
    assert server.connections == 1


async def test_an_authority_of_this_machine_is_trusted(
    authority: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"  # so that no context of an earlier test is used
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with _server(authority.issue_cert("127.0.0.1")) as server:
        outcome = await _asked(server.url, ca_file=str(other))

    assert isinstance(outcome, Answer)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here, which names certificates in a folder")
async def test_each_folder_of_a_list_in_the_environment_is_trusted(
    authority: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"  # so that no context of an earlier test is used
    trustme.CA().cert_pem.write_to_path(str(other))
    empty, folder = tmp_path / "empty", tmp_path / "certs"
    empty.mkdir()
    folder.mkdir()
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", ca_file], check=True, capture_output=True, text=True
    )
    (folder / f"{said.stdout.strip()}.0").write_bytes(Path(ca_file).read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"{empty}{os.pathsep}{tmp_path / 'missing'}{os.pathsep}{folder}")
    async with _server(authority.issue_cert("127.0.0.1")) as server:
        outcome = await _asked(server.url, ca_file=str(other))

    assert isinstance(outcome, Answer)


async def test_the_usual_file_counts_if_the_usual_folder_has_no_certificates(
    authority: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"  # so that no context of an earlier test is used
    trustme.CA().cert_pem.write_to_path(str(other))
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "ca-bundle.crt").touch()
    usual = ssl.DefaultVerifyPaths(ca_file, str(folder), "SSL_CERT_FILE", ca_file, "SSL_CERT_DIR", str(folder))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: usual)
    async with _server(authority.issue_cert("127.0.0.1")) as server:
        outcome = await _asked(server.url, ca_file=str(other))

    assert isinstance(outcome, Answer)


@pytest.mark.parametrize(("name", "is_read"), [("0a1b2c3d.0", False), ("a.pem", True), (None, True)])
def test_the_usual_file_is_read_only_without_a_usable_folder(
    ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, is_read: bool
) -> None:
    folder = tmp_path / "certs"
    if name is not None:
        folder.mkdir()
        (folder / name).touch()
    found: Any = str(folder) if name else None  # typeshed says it is a text
    usual = ssl.DefaultVerifyPaths(ca_file, found, "SSL_CERT_FILE", ca_file, "SSL_CERT_DIR", str(folder))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: usual)
    subjects = {str(one["subject"]) for one in trusting(None).get_ca_certs()}
    assert any("trustme" in each for each in subjects) is is_read


def test_an_empty_usual_file_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "cert.pem"
    empty.touch()
    no_folder: Any = None  # typeshed says it is a text
    usual = ssl.DefaultVerifyPaths(str(empty), no_folder, "SSL_CERT_FILE", str(empty), "SSL_CERT_DIR", "/nowhere")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: usual)
    assert trusting(None).verify_mode is ssl.CERT_REQUIRED


async def test_an_unknown_authority_is_not_trusted_and_nothing_is_sent(authority: trustme.CA) -> None:
    async with _server(authority.issue_cert("127.0.0.1")) as server:
        outcome = await _asked(server.url, ca_file=None)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TLS
    assert outcome.reason.startswith(
        f"the certificate of 127.0.0.1:{server.port} is not accepted: its issuer is unknown"
    )
    assert "ca_file" in outcome.reason
    assert server.asked == []


async def test_a_certificate_for_another_host_is_not_accepted(authority: trustme.CA, ca_file: str) -> None:
    async with _server(authority.issue_cert("other.example")) as server:
        outcome = await _asked(server.url, ca_file=ca_file)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TLS
    assert outcome.reason.endswith("is not accepted: it is for another host; check the host in the URL")
    assert server.asked == []


async def test_certificates_name_hosts_without_the_dot_at_the_end(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    here = {"api.example.": "127.0.0.1", b"api.example.": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **more: resolve(here.get(host, host), *args, **more))
    async with _server(authority.issue_cert("api.example")) as server:
        outcome = await _asked(f"https://api.example.:{server.port}", ca_file=ca_file)

    assert isinstance(outcome, Answer)


async def test_an_expired_certificate_is_not_accepted(authority: trustme.CA, ca_file: str) -> None:
    end = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("127.0.0.1", not_before=end - timedelta(days=9), not_after=end)
    async with _server(expired) as server:
        outcome = await _asked(server.url, ca_file=ca_file)

    assert isinstance(outcome, Unanswered)
    assert "is not accepted: it has expired" in outcome.reason


@asynccontextmanager
async def _listener(handle: Callable[[anyio.abc.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A server without TLS, and the https URL of its port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield f"https://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/"
        group.cancel_scope.cancel()


async def test_a_server_without_tls_is_reported() -> None:
    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with _listener(handle) as url:
        outcome = await _asked(url, ca_file=None)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TLS
    assert outcome.reason.endswith(" does not use TLS (does the URL need http://?)")


@pytest.mark.parametrize("is_reset", [True, False])
async def test_a_server_that_ends_the_handshake_is_reported(is_reset: bool) -> None:
    async def handle(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        if is_reset:
            sock = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    async with _listener(handle) as url:
        outcome = await _asked(url, ca_file=None)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TLS
    assert outcome.reason.startswith("no TLS connection with 127.0.0.1:")
    assert outcome.reason.endswith(": it closes the connection")


async def test_plain_http_to_a_port_for_tls_is_reported() -> None:
    page = b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
    async with loopback(answers(400, page)) as server:
        outcome = await _asked(server.url, ca_file=None)

    assert isinstance(outcome, Unanswered)
    assert outcome.reason == f"127.0.0.1:{server.port} requires TLS (does the URL need https://?)"


async def test_a_handshake_that_hangs_leaves_no_connection_behind(transport: str) -> None:
    opened = closed = 0

    async def handle(stream: anyio.abc.SocketStream) -> None:
        nonlocal opened, closed
        opened += 1
        async with stream:
            try:
                while True:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                closed += 1

    http = client(timeout_s=0.1, concurrency=1)
    async with _listener(handle) as url:
        for _ in range(5):
            outcome = await http.fetch(Request(method="GET", url=url), cap_bytes=9)
            assert isinstance(outcome, Unanswered)
            assert outcome.kind is Failure.TIMEOUT
            assert outcome.may_have_arrived == (transport == "httpx")  # which does not say how far it got
        await until(lambda: closed == 5)
    await http.aclose()

    assert (opened, closed) == (5, 5)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_unusable_ca_file_is_an_error_of_the_settings(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match="ca_file"):
        client(timeout_s=1, concurrency=1, ca_file=str(path))
