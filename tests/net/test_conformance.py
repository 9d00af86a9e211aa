"""Both transports against independent servers: nginx and uvicorn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
import uvicorn

from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.net.failure_kinds import Failure
from tests.net.nginx import nginx
from tests.net.pair import client_of
from tests.stopwatch import Stopwatch

pytestmark = [pytest.mark.usefixtures("unmeasured"), pytest.mark.usefixtures("transport")]

MIB = 1 << 20


async def _get(http: HttpClient, url: str, *, accept: str = "gzip", cap_bytes: int = MIB) -> Answer:
    headers = {"Accept-Encoding": accept}
    answer = await http.fetch(Request(method="GET", url=url, headers=headers), cap_bytes=cap_bytes)
    assert isinstance(answer, Answer), answer
    return answer


async def _json(http: HttpClient, url: str) -> dict[str, Any]:
    answer = await _get(http, url)
    assert (answer.status, answer.complete) == (200, True)
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def ports(tmp_path: Path, authority: trustme.CA) -> Iterator[dict[str, int]]:
    with nginx(tmp_path, authority) as ports:
        yield ports


async def test_nginx_keeps_one_connection_for_sequential_requests(ports: dict[str, int]) -> None:
    async with client_of() as http:
        seen = [await _json(http, f"http://127.0.0.1:{ports['http']}/a/../{n}/%2e%2e?x=/./") for n in range(50)]

    assert len({each["connection"] for each in seen}) == 1
    assert [each["target"] for each in seen] == [f"/a/../{n}/%2e%2e?x=/./" for n in range(50)]


async def test_nginx_sees_one_connection_per_concurrent_request(ports: dict[str, int]) -> None:
    seen = set()

    async def ask(http: HttpClient) -> None:
        for _ in range(20):
            seen.add((await _json(http, f"http://127.0.0.1:{ports['http']}/"))["connection"])

    async with client_of(concurrency=8) as http, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(ask, http)

    assert len(seen) <= 8


async def test_no_request_is_lost_where_nginx_closes_after_every_third(tmp_path: Path, authority: trustme.CA) -> None:
    with nginx(tmp_path, authority, keepalive_requests=3) as ports:
        async with client_of() as http:
            seen = [await _json(http, f"http://127.0.0.1:{ports['http']}/") for _ in range(60)]

    assert len({each["connection"] for each in seen}) == 20


async def test_no_request_is_lost_when_nginx_is_replaced(tmp_path: Path, authority: trustme.CA) -> None:
    async with client_of() as http:
        with nginx(tmp_path, authority) as ports:
            await _json(http, f"http://127.0.0.1:{ports['http']}/")
        outcome = await http.fetch(Request(method="GET", url=f"http://127.0.0.1:{ports['http']}/"), cap_bytes=99)
        with nginx(tmp_path, authority) as again:
            await _json(http, f"http://127.0.0.1:{again['http']}/")

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.CONNECT


@pytest.mark.parametrize(
    ("path", "status", "header", "value"),
    [
        ("/empty", 204, "location", None),
        ("/busy", 429, "retry-after", "7"),
        ("/moved", 302, "location", "http://127.0.0.1:{port}/elsewhere"),
        ("/files/none", 404, "content-type", "text/html"),
    ],
)
async def test_an_answer_of_nginx_is_returned(
    ports: dict[str, int], path: str, status: int, header: str, value: str | None
) -> None:
    async with client_of() as http:
        answer = await _get(http, f"http://127.0.0.1:{ports['http']}{path}")

    assert (answer.status, answer.complete) == (status, True)
    assert answer.headers.get(header) == (value and value.format(port=ports["http"]))
    assert answer.headers["date"].endswith("GMT")


async def test_a_file_is_read_compressed_chunked_or_plain_up_to_the_limit(
    ports: dict[str, int], tmp_path: Path
) -> None:
    content = json.dumps([f"line {number}" for number in range(50_000)]).encode()
    (tmp_path / "files" / "long.json").write_bytes(content)
    url = f"http://127.0.0.1:{ports['http']}/files/long.json"

    async with client_of() as http:
        packed, plain = await _get(http, url), await _get(http, url, accept="identity")
        capped, again = await _get(http, url, cap_bytes=1000), await _get(http, url)

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.body == plain.body == again.body == content
    assert (capped.body, capped.is_over_cap) == (content[:1000], True)


async def test_a_slow_file_ends_at_the_deadline(ports: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "files" / "slow").write_bytes(b"x" * 20_000)

    waiting = Stopwatch()
    async with client_of(timeout_s=0.4) as http:
        answer = await _get(http, f"http://127.0.0.1:{ports['http']}/slow/slow")

    assert (answer.status, answer.complete) == (200, False)
    assert answer.trouble == "the time-out passed in the middle of the body"
    assert waiting.seconds < 2


async def test_a_connection_that_nginx_closes_without_an_answer_is_reported(ports: dict[str, int]) -> None:
    async with client_of() as http:
        await _json(http, f"http://127.0.0.1:{ports['http']}/")
        outcome = await http.fetch(Request(method="GET", url=f"http://127.0.0.1:{ports['http']}/cut"), cap_bytes=99)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.RESET


async def test_the_requested_host_name_is_sent_and_verified(ports: dict[str, int], ca_file: str) -> None:
    async with client_of(ca_file=ca_file) as http:
        by_name = [await _json(http, f"https://localhost:{ports['https']}/") for _ in range(2)]
        by_number = await _json(http, f"https://127.0.0.1:{ports['https']}/")
    async with client_of() as strict:
        refused = await strict.fetch(Request(method="GET", url=f"https://localhost:{ports['https']}/"), cap_bytes=99)

    assert [each["name"] for each in by_name] == ["localhost", "localhost"]
    assert by_name[0]["connection"] == by_name[1]["connection"]
    assert by_number["name"] == ""
    assert isinstance(refused, Unanswered)
    assert refused.kind is Failure.TLS


async def test_an_ipv6_address_can_be_requested(ports: dict[str, int]) -> None:
    if "http6" not in ports:
        pytest.skip("no IPv6 here")
    async with client_of() as http:
        seen = [await _json(http, f"http://[::1]:{ports['http6']}/a") for _ in range(2)]

    assert seen[0] == seen[1]
    assert seen[0]["target"] == "/a"


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """An application for uvicorn. /stream is sent in chunks, /drip never ends, and /empty is empty. All other paths
    return the request's body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status = 204 if scope["path"] == "/empty" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-a", b"1"), (b"x-a", b"2")]})
    if scope["path"] == "/stream":
        for _ in range(30):
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            await anyio.sleep(0)
    if scope["path"] == "/drip":
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await anyio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"" if status == 204 else body})


@asynccontextmanager
async def _uvicorn(**options: Any) -> AsyncIterator[int]:
    """The port of a running uvicorn."""
    config = uvicorn.Config(_application, port=0, lifespan="off", log_config=None, **options)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    async with anyio.create_task_group() as group:
        group.start_soon(server.main_loop)
        try:
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            server.force_exit = True
            with anyio.CancelScope(shield=True):
                await server.shutdown()


@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_answers_of_uvicorn_are_read(parser: str) -> None:
    async with _uvicorn(http=parser) as port, client_of() as http:
        stream = await _get(http, f"http://127.0.0.1:{port}/stream")
        empty = await _get(http, f"http://127.0.0.1:{port}/empty")
        posted = await http.fetch(
            Request(method="POST", url=f"http://127.0.0.1:{port}/", body=b"y" * 300_000), cap_bytes=MIB
        )

    assert stream.body == b"x" * 300_000
    assert (empty.status, empty.body, empty.complete) == (204, b"", True)
    assert isinstance(posted, Answer)
    assert posted.body == b"y" * 300_000


async def test_a_slow_body_ends_at_the_deadline_without_harming_the_next_request() -> None:
    async with _uvicorn() as port, client_of(timeout_s=0.3) as http:
        drip = await _get(http, f"http://127.0.0.1:{port}/drip")
        empty = await _get(http, f"http://127.0.0.1:{port}/empty")

    assert (drip.status, drip.complete, empty.status) == (200, False, 204)


async def test_a_server_that_closes_idle_connections_at_once_loses_no_get() -> None:
    """uvicorn closes a connection as soon as it is idle, so each next request races with this."""
    async with _uvicorn(timeout_keep_alive=0) as port, client_of() as http:
        for number in range(100):
            assert (await _get(http, f"http://127.0.0.1:{port}/empty")).status == 204
            await anyio.sleep(0.0005 * (number % 5))


async def test_tls_of_uvicorn_is_verified(authority: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    cert = authority.issue_cert("other.example")
    cert.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    async with _uvicorn(ssl_certfile=str(tmp_path / "both.pem")) as port, client_of(ca_file=ca_file) as http:
        outcome = await http.fetch(Request(method="GET", url=f"https://localhost:{port}/"), cap_bytes=99)

    assert isinstance(outcome, Unanswered)
    assert outcome.kind is Failure.TLS
    assert outcome.reason.startswith(f"the certificate of localhost:{port} is not accepted: it is for another host")
