"""Tasks that are created through the gateway are watched, whatever happens to the caller or the daemon."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.http.gateway.gate import CREATED, KEY, PATH, Gate, created, is_poll, problem
from tests.http.site import Site, running_site
from tests.http.upstream import Arrived, reply, upstream
from tests.world import until


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


def test_a_client_that_can_only_send_ascii_percent_encodes_a_label(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: reply(created("t-ascii"))
    gate.request("POST", PATH, json={}, headers={"Genbridge-Label": "UTF-8''f%C3%B6x%20%E7%8C%AB"})
    task = gate.watched("t-ascii")
    assert task is not None
    assert task["label"] == "föx 猫"


def test_a_compressed_create_answer_is_read_and_passed_on_compressed(gate: Gate) -> None:
    packed = gzip.compress(created("t-gzip"))
    gate.provider.answer = lambda arrived: reply(packed, "Content-Encoding: gzip")
    headers = {"Accept-Encoding": "gzip, br"}
    with gate.site.client.stream("POST", PATH, json={}, headers=headers) as answer:
        assert b"".join(answer.iter_raw()) == packed
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["genbridge-watch"] == "kling/t-gzip"
    assert gate.arrived.header("accept-encoding") == "gzip"


def test_an_answer_that_cannot_be_watched_is_passed_on_with_the_reason(gate: Gate) -> None:
    gate.provider.answer = lambda arrived: reply(created("t-lost"))
    answer = gate.request("POST", "/gateway/kling/v1/odd", json={})
    assert answer.json()["data"]["task_id"] == "t-lost"
    assert answer.headers["genbridge-watch"].startswith(
        "failed; task t-lost: neither the task nor its account has an action"
    )
    assert "gateway.unwatched" in gate.log()
    large = json.dumps({"id": "video_1", "object": "video", "filler": "x" * (2 << 20)}).encode()
    gate.provider.answer = lambda arrived: reply(large)
    answer = gate.request("POST", "/gateway/openai/v1/videos", json={})
    assert answer.content == large
    assert answer.headers["genbridge-watch"].startswith("failed; ")


@pytest.mark.parametrize("sent", [b"", reply(created("t-cut"))[:-10], b"SSH-2.0-dropbear\r\n"])
def test_a_create_answer_that_is_cut_off_is_reported(gate: Gate, sent: bytes) -> None:
    gate.provider.answer = lambda arrived: sent
    before = gate.log().count("gateway.unwatched")
    answer = gate.request("POST", PATH, json={})
    assert answer.headers["genbridge-watch"] == f"failed; {problem(answer, 502)}"
    assert gate.log().count("gateway.unwatched") == before + 1


@pytest.mark.parametrize(("method", "cut"), [("POST", reply(b"no " * 9, status=500)[:-10]), ("GET", b"")])
def test_a_cut_off_answer_that_creates_no_task_is_not_reported(gate: Gate, method: str, cut: bytes) -> None:
    gate.provider.answer = lambda arrived: cut
    before = gate.log().count("gateway.unwatched")
    answer = gate.request(method, f"{PATH}/t-get" if method == "GET" else PATH)
    assert (answer.status_code, "genbridge-watch" in answer.headers) == (502, False)
    assert gate.log().count("gateway.unwatched") == before


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
        if not is_poll(arrived):
            asked.set()
            time.sleep(0.5)
        return reply(created("t-gone"))

    gate.provider.answer = late
    port = int(gate.site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head(f"POST {PATH} HTTP/1.1", "Content-Length: 2") + b"{}")
        assert asked.wait(10)
    until(lambda: gate.watched("t-gone") is not None, seconds=5, what="a watch")


def test_a_caller_that_disconnects_while_waiting_creates_nothing(gate: Gate) -> None:
    assert gate.request("GET", "/gateway/queued/x").status_code == 200
    before = gate.count
    port = int(gate.site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(gate.head("POST /gateway/queued/v1/videos/text2video HTTP/1.1", "Content-Length: 2") + b"{}")
        time.sleep(0.5)
    time.sleep(3)
    assert gate.count == before


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


def test_a_status_answer_that_passes_through_finishes_the_task(gate: Gate) -> None:
    running = json.dumps({**CREATED, "data": {"task_id": "t-status", "task_status": "processing"}}).encode()
    video = {"id": "1", "url": "https://cdn.example.test/a.mp4", "duration": "5"}
    data = {"task_id": "t-status", "task_status": "succeed", "task_result": {"videos": [video]}}
    succeeded = json.dumps({**CREATED, "data": data}).encode()
    gate.provider.answer = lambda arrived: reply(running)
    assert gate.request("POST", PATH, json={}).headers["genbridge-watch"] == "kling/t-status"
    gate.provider.answer = lambda arrived: reply(running if is_poll(arrived) else succeeded)

    def is_finished() -> bool:
        assert gate.request("GET", f"{PATH}/t-status").content == succeeded
        return bool((gate.watched("t-status") or {}).get("phase") == "succeeded")

    until(is_finished, seconds=5, what="the end, which no poll has seen")
    told = [one for one in gate.site.world.received if one.data.get("task_id") == "t-status"]
    assert len(told) <= 1


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
    """The id that the caller got, or None when the daemon is dead."""
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
