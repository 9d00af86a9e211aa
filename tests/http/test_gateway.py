"""The gateway from outside: what passes, what is changed, what is refused, and what it can be led to."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.fork_server import completed
from tests.http.site import READ_TOKEN, TOKEN, Site, running_site
from tests.http.upstream import Arrived, Upstream, reply, upstream
from tests.world import until

KEY: Final = "key-of-the-account-0123456789"
CREATED: Final = {"code": 0, "message": "SUCCEED", "data": {"task_id": "T", "task_status": "submitted"}}
PATH: Final = "/gateway/kling/v1/videos/text2video"


def created(task_id: str) -> bytes:
    return json.dumps({**CREATED, "data": {"task_id": task_id, "task_status": "submitted"}}).encode()


@dataclass
class Gate:
    """A site with accounts at a scripted provider."""

    site: Site
    provider: Upstream

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.site.client.request(method, path, **more)

    @property
    def arrived(self) -> Arrived:
        """The last request through the gateway; polls of the daemon are left out."""
        return [one for one in self.provider.arrived if not _is_poll(one)][-1]

    @property
    def count(self) -> int:
        return sum(not _is_poll(one) for one in self.provider.arrived)

    def raw(self, head: bytes, body: bytes = b"", *, seconds: float = 10.0) -> bytes:
        """What comes back for these bytes, until the connection closes."""
        port = int(self.site.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as caller:
            caller.sendall(head + body)
            received = b""
            while part := caller.recv(65536):
                received += part
            return received

    def head(self, line: str, *lines: str) -> bytes:
        host = self.site.url.removeprefix("http://")
        given = [line, f"Host: {host}", f"Authorization: Bearer {TOKEN}", "Connection: close", *lines]
        return ("\r\n".join(given) + "\r\n\r\n").encode("latin-1")

    def watched(self, task_id: str, account: str = "kling") -> dict[str, Any] | None:
        answer = self.site.client.get("/api/v1/task", params={"account": account, "id": task_id})
        found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    def log(self) -> str:
        return self.site.daemon.log.read_text()


def _is_poll(arrived: Arrived) -> bool:
    return "genbridge/" in (arrived.header("user-agent") or "")


@pytest.fixture(scope="module")
def module_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with upstream() as provider:
        limits = {"rate": 500, "burst": 500, "concurrency": 32}
        usual = {"provider": "kling", "base_url": provider.url, "api_key": KEY, "limits": limits}
        accounts = {
            "kling": usual,
            "headed": {**usual, "headers": {"X-Team": "team-secret-0123456789"}},
            "openai": {**usual, "provider": "openai_video"},
            "google": {**usual, "provider": "veo", "base_url": "https://generativelanguage.googleapis.com"},
            "queued": {**usual, "limits": {"rate": 0.4, "burst": 1}},
            "slow": {**usual, "limits": {"rate": 0.05, "burst": 1}},
            "paired": {
                **{"provider": "kling", "base_url": provider.url, "action": "videos/text2video"},
                **{"access_key": "a-key-0123456789", "secret_key": "s-key-0123456789"},
            },
        }
        polling = {"min_interval": "0.2s", "max_interval": "30s"}
        folder = tmp_path_factory.mktemp("gateway")
        with running_site(folder, http={"gateway": True}, accounts=accounts, polling=polling) as site:
            yield Gate(site, provider)


@pytest.fixture
def gate(module_gate: Gate) -> Gate:
    module_gate.provider.answer = lambda arrived: reply(b"{}")
    module_gate.provider.hung_up.clear()
    return module_gate


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert KEY not in answer.text
    return str(answer.json()["detail"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_method_path_query_body_status_and_headers_pass_unchanged(gate: Gate, method: str) -> None:
    gate.provider.answer = lambda arrived: reply(
        b"\x00\xffraw", "X-Answer: 1", "X-Answer: 2", status=418, kind="image/png"
    )
    target = f"{PATH}/a%2Fb%20c/@x//y?q=%0d%0a&&z=..//%zz&empty="
    sent = gate.raw(gate.head(f"{method} {target} HTTP/1.1", "X-Odd: caf\xe9", "Content-Length: 5"), b"\x00\x01abc")
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 418 ")
    assert body == b"\x00\xffraw"
    assert head.lower().count(b"x-answer: ") == 2
    assert b"content-type: image/png" in head.lower()
    assert gate.arrived.line == f"{method} /base/v1/videos/text2video{target.removeprefix(PATH)} HTTP/1.1".encode()
    assert gate.arrived.body == b"\x00\x01abc"
    assert gate.arrived.header("x-odd") == "caf\xe9"


def test_the_provider_gets_the_accounts_key_and_host_and_nothing_of_the_callers(gate: Gate) -> None:
    headers = {
        **{"Cookie": "session=1", "X-Api-Key": TOKEN, "Genbridge-Label": "x", "Connection": "X-Hop, keep-alive"},
        **{"X-Hop": "1", "TE": "trailers", "Proxy-Authorization": "Basic x", "X-Kept": "1"},
    }
    assert gate.request("GET", "/gateway/headed/x", headers=headers).status_code == 200
    arrived = gate.arrived
    assert arrived.header("authorization") == f"Bearer {KEY}"
    assert arrived.header("x-team") == "team-secret-0123456789"
    assert arrived.header("host") == f"127.0.0.1:{gate.provider.port}"
    assert arrived.header("x-kept") == "1"
    for name in ("cookie", "x-api-key", "genbridge-label", "x-hop", "te", "proxy-authorization"):
        assert arrived.header(name) is None
    assert TOKEN.encode() not in arrived.head


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"{scheme} {TOKEN}"} for scheme in ("Bearer", "token", "Key")]
    + [{name: TOKEN} for name in ("x-api-key", "api-key", "x-goog-api-key", "Authorization")],
)
def test_a_caller_shows_the_token_where_its_client_puts_the_key(gate: Gate, headers: dict[str, str]) -> None:
    answer = gate.site.stranger.get("/gateway/kling/x", headers=headers)
    assert answer.status_code == 200, answer.text
    assert gate.arrived.header("authorization") == f"Bearer {KEY}"


def test_unauthorized_requests_are_refused_without_naming_accounts(gate: Gate) -> None:
    before = gate.count
    for path in ("/gateway/kling/x", "/gateway/nobody/x", "/gateway/paired/x"):
        problem(gate.site.stranger.get(path), 401)
        problem(gate.site.stranger.get(path, headers={"x-api-key": "wrong"}), 401)
        problem(gate.site.stranger.get(path, headers={"X-Other": TOKEN}), 401)
        assert "read_token" in problem(gate.site.reader.get(path), 403)
        problem(gate.site.stranger.get(path, headers={"x-api-key": READ_TOKEN}), 403)
    problem(gate.request("GET", "/gateway/kling/x", headers={"Origin": "https://evil.example"}), 403)
    problem(gate.request("GET", "/gateway/kling/x", headers={"Host": "evil.example"}), 421)
    assert gate.count == before


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /gateway/kling/../x HTTP/1.1", 400),
        ("GET /gateway/kling/%2e%2e/x HTTP/1.1", 400),
        ("GET /gateway/kling/a/..%2f..%2fx HTTP/1.1", 400),
        ("GET /gateway/kling//evil.example/x HTTP/1.1", 400),
        ("GET /gateway/kling/\\evil.example HTTP/1.1", 400),
        ("GET /gateway/kling/a%5c..%5cb HTTP/1.1", 400),
        ("GET /gateway/kling/a%0d%0aX:%20y HTTP/1.1", 404),
        ("GET /gateway/kling@evil.example/x HTTP/1.1", 404),
        ("GET /gateway/nobody/x HTTP/1.1", 404),
        ("GET /gateway/kling%2f..%2fheaded/x HTTP/1.1", 404),
        ("GET /gatewa%79/kling/x HTTP/1.1", 404),
        ("GET /gateway HTTP/1.1", 404),
        ("TRACE /gateway/kling/x HTTP/1.1", 501),
        (f"GET /gateway/kling/x?key={TOKEN} HTTP/1.1", 400),
        ("POST /gateway/paired/v1/videos/text2video HTTP/1.1", 501),
    ],
)
def test_a_path_or_method_that_could_mislead_is_refused(gate: Gate, line: str, status: int) -> None:
    before = gate.count
    received = gate.raw(gate.head(line))
    assert received.startswith(f"HTTP/1.1 {status} ".encode()), received[:300]
    assert KEY.encode() not in received
    assert gate.count == before


def test_an_absolute_target_leads_to_the_account_and_to_no_other_host(gate: Gate) -> None:
    received = gate.raw(gate.head("GET http://evil.example/gateway/kling/x HTTP/1.1"))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert gate.arrived.line == b"GET /base/x HTTP/1.1"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: +3",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding : chunked",),
    ],
)
def test_lengths_that_contradict_each_other_are_refused(gate: Gate, lines: tuple[str, ...]) -> None:
    before = gate.count
    received = gate.raw(gate.head(f"POST {PATH} HTTP/1.1", *lines), b"3\r\nabc\r\n0\r\n\r\n")
    assert received[:13] in {b"HTTP/1.1 400 ", b""}, received[:300]  # or closed without an answer
    assert gate.count == before


def test_a_websocket_is_refused_with_a_reason(gate: Gate) -> None:
    lines = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    head = gate.head("GET /gateway/kling/x HTTP/1.1", *lines).replace(
        b"Connection: close", b"Connection: close, Upgrade"
    )
    received = gate.raw(head)
    assert received.startswith(b"HTTP/1.1 501 ")
    assert b"WebSocket" in received


def test_redirects_are_passed_on_and_those_below_the_base_url_lead_to_the_gateway(gate: Gate) -> None:
    for location, expected in (
        (f"{gate.provider.url}/v1/x?a=b", "/gateway/kling/v1/x?a=b"),
        ("https://cdn.example.test/x", "https://cdn.example.test/x"),
    ):
        gate.provider.answer = lambda arrived, to=location: reply(b"", f"Location: {to}", status=307)  # type: ignore[misc]
        answer = gate.request("GET", "/gateway/kling/x")
        assert (answer.status_code, answer.headers["location"]) == (307, expected)


def test_headers_of_the_providers_origin_are_not_returned(gate: Gate) -> None:
    lines = ("Set-Cookie: a=b", 'Alt-Svc: h3=":443"', "Genbridge-Watch: faked", "Keep-Alive: timeout=5", "X-Kept: 1")
    gate.provider.answer = lambda arrived: reply(b"{}", *lines)
    headers = gate.request("GET", "/gateway/kling/x").headers
    assert headers["x-kept"] == "1"
    assert not {"set-cookie", "alt-svc", "genbridge-watch", "keep-alive"} & set(headers)
    assert len(headers.get_list("date")) == 1


def test_a_large_request_streams_both_ways(gate: Gate) -> None:
    def echoed(arrived: Arrived) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\n\r\n"
        yield arrived.body

    gate.provider.answer = echoed
    body = bytes(range(256)) * 40_000
    assert gate.request("POST", PATH, content=body).content == body
    assert gate.arrived.header("content-length") == str(len(body))
    parts = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    assert gate.request("POST", PATH, content=parts).content == body
    assert gate.arrived.header("transfer-encoding") == "chunked"


def test_events_arrive_while_the_provider_still_sends(gate: Gate) -> None:
    seen, go_on = [], threading.Event()

    def events(arrived: Arrived) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n"
        go_on.wait(10)
        yield b"data: 2\n\n"

    gate.provider.answer = events
    with gate.site.client.stream("POST", "/gateway/openai/v1/chat/completions", json={}) as answer:
        for part in answer.iter_bytes():
            seen.append(part)
            go_on.set()
    assert b"".join(seen) == b"data: 1\n\ndata: 2\n\n"
    assert seen[0] == b"data: 1\n\n"


def test_a_request_above_the_limit_is_refused_and_an_answer_above_it_is_cut(gate: Gate) -> None:
    before = gate.count
    received = gate.raw(gate.head(f"POST {PATH} HTTP/1.1", f"Content-Length: {(64 << 20) + 1}"))
    assert received.startswith(b"HTTP/1.1 413 ")
    assert gate.count == before

    def endless(arrived: Arrived) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\n\r\n"
        yield from (b"x" * (1 << 20) for _ in range(80))

    gate.provider.answer = endless
    with pytest.raises(httpx.TransportError):
        gate.request("GET", "/gateway/kling/x", timeout=60)
    gate.provider.answer = lambda arrived: [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx"]
    assert "64 MiB" in problem(gate.request("GET", "/gateway/kling/x"), 502)


def test_an_answer_that_breaks_off_does_not_look_complete(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: [
        b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    ]
    with pytest.raises(httpx.TransportError):
        gate.request("GET", "/gateway/kling/x")
    gate.provider.answer = lambda arrived: [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"]
    assert "closed" in problem(gate.request("POST", PATH, json={}), 502)
    gate.provider.answer = lambda arrived: [b"nonsense\r\n\r\n"]
    assert "not HTTP" in problem(gate.request("GET", "/gateway/kling/x"), 502)


def test_the_key_in_an_answer_is_masked(gate: Gate) -> None:
    echo = json.dumps({"error": f"invalid key {KEY}", "headers": ["team-secret-0123456789"]}).encode()
    clean = echo.replace(KEY.encode(), b"*" * len(KEY)).replace(b"team-secret-0123456789", b"*" * 22)
    gate.provider.answer = lambda arrived: reply(echo, f"X-Echo: {KEY}", status=401)
    answer = gate.request("GET", "/gateway/headed/x")
    assert (answer.status_code, answer.content) == (401, clean)
    assert answer.headers["x-echo"] == "*" * len(KEY)
    gate.provider.answer = lambda arrived: reply(gzip.compress(echo), "Content-Encoding: gzip", status=400)
    assert gate.request("POST", "/gateway/headed/x", json={}).content == clean
    halves = echo.partition(KEY[10:].encode())
    gate.provider.answer = lambda arrived: [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
        halves[0],
        halves[1] + halves[2],
    ]
    assert gate.request("GET", "/gateway/headed/x").content == clean
    assert KEY not in gate.log()


def test_a_create_answer_of_any_type_is_read(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: reply(created("t-html"), kind="text/html; charset=utf-8")
    assert gate.request("POST", PATH, json={}).headers["genbridge-watch"] == "kling/t-html"
    gate.provider.answer = lambda arrived: reply(b"<p>" + b"x" * 200_000, status=502, kind="text/html")
    answer = gate.request("POST", PATH, json={})
    assert (answer.status_code, len(answer.content)) == (502, 200_003)
    assert "genbridge-watch" not in answer.headers


def test_a_create_answer_is_committed_before_it_is_passed_on(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: reply(created("t-create"))
    headers = {"Genbridge-Label": "cat", "Genbridge-Meta": '{"a": [1]}', "Genbridge-Endpoints": "hook"}
    answer = gate.request("POST", PATH, json={}, headers=headers)
    assert answer.headers["genbridge-watch"] == "kling/t-create"
    assert answer.content == created("t-create")
    task = gate.watched("t-create")
    assert task is not None
    assert (task["label"], task["meta"], task["action"]) == ("cat", {"a": [1]}, "videos/text2video")


def test_a_compressed_create_answer_is_read_and_passed_on_compressed(gate: Gate) -> None:
    packed = gzip.compress(created("t-gzip"))
    gate.provider.answer = lambda arrived: reply(packed, "Content-Encoding: gzip")
    headers = {"Accept-Encoding": "gzip, br"}
    with gate.site.client.stream("POST", PATH, json={}, headers=headers) as answer:
        assert b"".join(answer.iter_raw()) == packed
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["genbridge-watch"] == "kling/t-gzip"
    assert gate.arrived.header("accept-encoding") == "gzip"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Genbridge-Meta", "{"),
        ("Genbridge-Meta", "[]"),
        ("Genbridge-Endpoints", "nobody"),
        ("Genbridge-Endpoints", "https://evil.example/"),
        ("Genbridge-Label", "x" * 501),
        ("Genbridge-Lable", "cat"),
    ],
)
def test_a_wrong_header_is_refused_before_anything_is_created(gate: Gate, header: str, value: str) -> None:
    before = gate.count
    said = problem(gate.request("POST", PATH, json={}, headers={header: value}), 400)
    assert said.startswith(f"{header}: ")
    assert f": {header.removeprefix('Genbridge-').lower()}: " not in said, "the header is named once"
    assert header != "Genbridge-Lable" or said.endswith('did you mean "Genbridge-Label"?')
    assert gate.count == before


def test_an_answer_that_cannot_be_watched_is_passed_on_with_the_reason(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: reply(created("t-lost"))
    answer = gate.request("POST", "/gateway/kling/v1/odd", json={})
    assert answer.json()["data"]["task_id"] == "t-lost"
    assert answer.headers["genbridge-watch"].startswith("failed; task t-lost: no action")
    assert "gateway.unwatched" in gate.log()
    large = json.dumps({"id": "video_1", "object": "video", "filler": "x" * (2 << 20)}).encode()
    gate.provider.answer = lambda arrived: reply(large)
    answer = gate.request("POST", "/gateway/openai/v1/videos", json={})
    assert answer.content == large
    assert answer.headers["genbridge-watch"].startswith("failed; ")


def test_answers_that_create_nothing_are_not_watched(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: reply(b'{"id": "chatcmpl-1", "object": "chat.completion"}')
    answer = gate.request("POST", "/gateway/openai/v1/chat/completions", json={})
    assert "genbridge-watch" not in answer.headers
    gate.provider.answer = lambda arrived: reply(created("t-refused"), status=400)
    assert "genbridge-watch" not in gate.request("POST", PATH, json={}).headers
    assert gate.watched("t-refused") is None


def test_a_task_is_watched_even_if_the_caller_hangs_up(gate: Gate) -> None:
    asked = threading.Event()

    def late(arrived: Arrived) -> bytes:
        if not _is_poll(arrived):
            asked.set()
            time.sleep(0.5)
        return reply(created("t-gone"))

    gate.provider.answer = late
    port = int(gate.site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head(f"POST {PATH} HTTP/1.1", "Content-Length: 2") + b"{}")
        assert asked.wait(10)
    until(lambda: gate.watched("t-gone") is not None, seconds=5, what="a watch")


def test_a_download_ends_when_the_caller_hangs_up(gate: Gate) -> None:
    def endless(arrived: Arrived) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"
        for _ in range(600):
            yield b"x" * 10_000
            time.sleep(0.05)

    gate.provider.answer = endless
    with gate.site.client.stream("GET", "/gateway/kling/x") as answer:
        next(answer.iter_raw())
    assert gate.provider.hung_up.wait(10)


def test_a_request_that_creates_nothing_is_given_up_when_the_caller_hangs_up(gate: Gate) -> None:
    asked = threading.Event()

    def silent(arrived: Arrived) -> Iterable[bytes]:
        asked.set()
        for _ in range(200):
            yield b"HTTP/1.1 100 Continue\r\n\r\n"
            time.sleep(0.05)

    gate.provider.answer = silent
    port = int(gate.site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head("GET /gateway/kling/x HTTP/1.1"))
        assert asked.wait(10)
    assert gate.provider.hung_up.wait(30)


def test_a_caller_that_hangs_up_in_line_creates_nothing(gate: Gate) -> None:
    assert gate.request("GET", "/gateway/queued/x").status_code == 200
    before = gate.count
    port = int(gate.site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head("POST /gateway/queued/v1/videos/text2video HTTP/1.1", "Content-Length: 2") + b"{}")
        time.sleep(0.5)
    time.sleep(3)
    assert gate.count == before


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("POST", 204)])
def test_answers_without_a_body_pass(gate: Gate, method: str, status: int) -> None:
    head = f"HTTP/1.1 {status} X\r\nETag: a\r\n"
    head += "Content-Length: 5000\r\n" if status != 204 else ""
    gate.provider.answer = lambda arrived: f"{head}\r\n".encode()
    for _ in range(2):
        answer = gate.request(method, PATH)
        assert (answer.status_code, answer.headers["etag"], answer.content) == (status, "a", b"")
    assert "http.bug" not in gate.log()


def test_a_changed_account_is_used_after_a_reload(tmp_path: Path) -> None:
    with upstream() as first, upstream() as second:
        first.answer, second.answer = lambda arrived: reply(b"first"), lambda arrived: reply(b"second")
        account = {"provider": "kling", "base_url": first.url, "api_key": KEY}
        with running_site(tmp_path, http={"gateway": True}, accounts={"kling": account}) as site:
            assert site.client.get("/gateway/kling/x").content == b"first"
            settings = site.daemon.settings
            changed = settings.read_text().replace(first.url, second.url).replace(KEY, "another-key-0123456789")
            settings.write_text(changed)
            until(lambda: site.client.get("/gateway/kling/x").content == b"second", seconds=5, what="the new address")
            assert second.arrived[-1].header("authorization") == "Bearer another-key-0123456789"


def test_a_caller_that_hangs_up_during_its_upload_leaves_nothing_behind(gate: Gate) -> None:
    before = gate.count
    port = int(gate.site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head(f"POST {PATH} HTTP/1.1", "Content-Length: 5000000") + b"x" * 2_000_000)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head(f"POST {PATH} HTTP/1.1", "Content-Length: 5000") + b"x")
    assert gate.request("GET", "/gateway/kling/x").status_code == 200
    assert gate.count == before + 1
    assert "http.bug" not in gate.log()


def test_a_request_of_unknown_length_above_the_limit_is_refused(gate: Gate) -> None:
    parts = (bytes(1 << 20) for _ in range(66))
    with suppress(httpx.TransportError):
        assert gate.request("POST", PATH, content=parts, timeout=60).status_code == 413
    assert gate.request("GET", "/gateway/kling/x").status_code == 200


def test_an_account_that_a_person_paused_holds_its_callers(gate: Gate) -> None:
    settings = gate.site.daemon.settings
    assert completed("pause", "--config", settings, "openai").returncode == 0
    until(lambda: gate.request("GET", "/gateway/openai/x").status_code == 429, seconds=5, what="a pause")
    answer = gate.request("GET", "/gateway/openai/x")
    assert "paused" in problem(answer, 429)
    assert completed("resume", "--config", settings, "openai").returncode == 0
    until(lambda: gate.request("GET", "/gateway/openai/x").status_code == 200, seconds=5, what="its end")


def test_a_status_answer_that_passes_through_finishes_the_task(gate: Gate) -> None:
    running = json.dumps({**CREATED, "data": {"task_id": "t-status", "task_status": "processing"}}).encode()
    video = {"id": "1", "url": "https://cdn.example.test/a.mp4", "duration": "5"}
    data = {"task_id": "t-status", "task_status": "succeed", "task_result": {"videos": [video]}}
    succeeded = json.dumps({**CREATED, "data": data}).encode()
    gate.provider.answer = lambda arrived: reply(running)
    assert gate.request("POST", PATH, json={}).headers["genbridge-watch"] == "kling/t-status"
    gate.provider.answer = lambda arrived: reply(running if _is_poll(arrived) else succeeded)

    def is_finished() -> bool:
        assert gate.request("GET", f"{PATH}/t-status").content == succeeded
        return bool((gate.watched("t-status") or {}).get("phase") == "succeeded")

    until(is_finished, seconds=5, what="the end, which no poll has seen")
    told = [one for one in gate.site.world.received if one.data.get("task_id") == "t-status"]
    assert len(told) <= 1


def test_requests_beyond_the_limits_are_given_a_time_to_retry(gate: Gate) -> None:
    assert gate.request("GET", "/gateway/slow/x").status_code == 200
    answer = gate.request("GET", "/gateway/slow/x")
    assert "limits" in problem(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 20


def test_a_429_of_the_provider_holds_the_account(gate: Gate) -> None:
    body = b'{"code": 1302, "message": "too many requests"}'
    gate.provider.answer = lambda arrived: reply(body, "Retry-After: 100", status=429)
    assert gate.request("GET", "/gateway/headed/x").content == body
    before = gate.count
    answer = gate.request("GET", "/gateway/headed/x")
    problem(answer, 429)
    assert 95 <= int(answer.headers["retry-after"]) <= 100
    assert gate.count == before


def test_a_task_that_the_caller_saw_is_watched_after_a_kill(tmp_path: Path) -> None:
    with upstream() as provider:
        account = {"provider": "kling", "base_url": provider.url, "api_key": KEY, "limits": {"rate": 500, "burst": 500}}
        numbers = iter(range(10_000))
        provider.answer = lambda arrived: reply(created(f"t-{next(numbers)}"))
        with running_site(tmp_path, http={"gateway": True}, accounts={"kling": account}) as site:
            seen: list[str] = []
            killer = threading.Timer(0.3, site.daemon.kill)
            while (task_id := _created_now(site)) is not None:
                seen.append(task_id)
                if len(seen) == 10:
                    killer.start()
            killer.join()
            stored = _stored(site)
    assert len(seen) >= 10
    assert set(seen) <= stored


def _created_now(site: Site) -> str | None:
    """The id that the caller saw; None once the daemon is dead."""
    try:
        answer = site.client.post(PATH, json={})
    except httpx.TransportError:
        return None
    assert answer.headers["genbridge-watch"].startswith("kling/")
    return str(answer.json()["data"]["task_id"])


def _stored(site: Site) -> set[str]:
    with sqlite3.connect(site.folder / "state.db") as store:
        return {str(row[0]) for row in store.execute("SELECT task_id FROM watches")}


def test_a_task_created_while_the_daemon_stops_is_watched(tmp_path: Path) -> None:
    asked = threading.Event()

    def late(arrived: Arrived) -> bytes:
        asked.set()
        time.sleep(30 if arrived.target.endswith("?slow") else 1.0)
        return reply(created("t-stop"))

    with upstream() as provider:
        provider.answer = late
        account = {"provider": "kling", "base_url": provider.url, "api_key": KEY}
        answers: dict[str, httpx.Response] = {}

        def post(site: Site, query: str) -> None:
            answers[query] = site.client.post(f"{PATH}{query}", json={})

        with running_site(tmp_path, http={"gateway": True}, accounts={"kling": account}) as site:
            callers = [threading.Thread(target=post, args=(site, query)) for query in ("", "?slow")]
            for caller in callers:
                caller.start()
            assert asked.wait(10)
            time.sleep(0.3)
            assert site.daemon.stop() == 0
            for caller in callers:
                caller.join()
            assert answers[""].headers["genbridge-watch"] == "kling/t-stop"
            assert "stopped" in problem(answers["?slow"], 503)
            assert "gateway.unwatched" in site.daemon.log.read_text()
            assert "http.bug" not in site.daemon.log.read_text()
            assert _stored(site) == {"t-stop"}


def test_the_gateway_is_off_unless_the_settings_turn_it_on(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        assert "http.gateway" in problem(site.client.get("/gateway/kling/x"), 404)
