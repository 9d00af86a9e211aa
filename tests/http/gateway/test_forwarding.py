"""What the gateway forwards, and what it changes."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from tests.http.gateway.gate import KEY, PATH, Gate, problem
from tests.http.site import TOKEN, running_site
from tests.http.upstream import Arrived, reply, upstream
from tests.world import until


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


def test_the_provider_gets_the_accounts_key_and_host_not_the_callers(gate: Gate) -> None:
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


def test_an_absolute_target_leads_to_the_account_and_to_no_other_host(gate: Gate) -> None:
    received = gate.raw(gate.head("GET http://evil.example/gateway/kling/x HTTP/1.1"))
    assert received.startswith(b"HTTP/1.1 421 ")
    received = gate.raw(gate.head(f"GET {gate.site.url}/gateway/kling/x HTTP/1.1"))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert gate.arrived.line == b"GET /base/x HTTP/1.1"


def test_redirects_below_the_base_url_lead_to_the_gateway_others_are_unchanged(gate: Gate) -> None:
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


def test_a_request_that_creates_nothing_ends_when_the_caller_disconnects(gate: Gate) -> None:
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
