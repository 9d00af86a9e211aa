"""What the gateway refuses: wrong tokens, misleading requests, and requests that are too large or too many."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.fork_server import completed
from tests.http.gateway.gate import KEY, PATH, Gate, problem
from tests.http.site import READ_TOKEN, TOKEN, running_site
from tests.http.upstream import Arrived, reply
from tests.world import until

pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"{scheme} {TOKEN}"} for scheme in ("Bearer", "token", "Key", "Basic")]
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


def test_the_message_is_also_where_sdks_look_for_it(gate: Gate) -> None:
    for path, status in (("/gateway/nobody/x", 404), ("/gateway/paired/x", 501)):
        answer = gate.request("GET", path)
        text = problem(answer, status)
        assert answer.json()["message"] == answer.json()["error"]["message"] == text


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


def test_a_request_over_the_limit_is_refused_and_an_answer_is_cut(gate: Gate) -> None:
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


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Genbridge-Meta", "{"),
        ("Genbridge-Meta", "[]"),
        ("Genbridge-Meta", "[" * 1100 + "]" * 1100),
        ("Genbridge-Meta", '{"order": 7, "order": 8}'),
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


@pytest.mark.parametrize("name", ["Genbridge-Label", "Genbridge-Meta", "Genbridge-Endpoints"])
def test_a_header_of_genbridge_that_is_there_twice_is_refused(gate: Gate, name: str) -> None:
    before = gate.count
    received = gate.raw(gate.head(f"POST {PATH} HTTP/1.1", f"{name}: hook", f"{name.lower()}: other"))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert f"{name}: is there twice".encode() in received
    assert gate.count == before


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


def test_the_gateway_is_off_unless_the_settings_turn_it_on(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        assert "http.gateway" in problem(site.client.get("/gateway/kling/x"), 404)
