"""Many tasks finish at once, and five chats behave differently."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import DaemonProcess
from tests.world import World, drop, running_world, until

pytestmark = pytest.mark.long

IDS = [f"task-{number:02}" for number in range(30)]


class Chats:
    """Chat services, by the first part of the path. Records for each one the tasks whose messages it took, in order."""

    def __init__(self) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.early: list[str] = []  # chats that got a message before the end of the wait that they had asked for
        self._asked: dict[str, int] = defaultdict(int)
        self._closed_until: dict[str, float] = {}
        self._lock = threading.Lock()
        chats = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                status, body = chats.answer(self.path.strip("/").partition("/")[0], text)
                said = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def answer(self, chat: str, text: str) -> tuple[int, dict[str, Any]]:
        """The answer of this chat to the next message."""
        found = re.search(r"task-\d\d", text)
        assert found is not None
        with self._lock:
            self._asked[chat] += 1
            asked, now = self._asked[chat], time.monotonic()
            if now < self._closed_until.get(chat, 0.0):
                self.early.append(chat)
            if chat == "limited" and asked % 8 == 0:
                self._closed_until[chat] = now + 1.5
                return 429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 1.5}}
            if chat == "broken" and asked in {1, 12, 13}:
                return 502, {}
            if chat == "coded" and asked == 5:
                return 200, {"errcode": 93000, "errmsg": "try again"}
        if chat == "slow" and asked == 3:
            time.sleep(3.0)  # longer than delivery.timeout
        with self._lock:
            self.taken[chat].append(found[0])
        return 200, {"errcode": 0, "errmsg": "ok"}


@pytest.fixture
def chats() -> Iterator[Chats]:
    chats = Chats()
    thread = threading.Thread(target=chats.server.serve_forever, daemon=True)
    thread.start()
    yield chats
    chats.server.shutdown()
    chats.server.server_close()


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as world:
        yield world


def ends(store: Path) -> list[str]:
    """The tasks in the order in which their ends were committed."""
    with sqlite3.connect(store) as connection:
        rows = connection.execute(
            "SELECT subject FROM deliveries JOIN events USING (event_id) WHERE endpoint = 'hook' ORDER BY delivery_id"
        )
        return [subject for (subject,) in rows]


@pytest.mark.wheel
def test_thirty_simultaneous_results_reach_five_chats_in_order(world: World, chats: Chats, tmp_path: Path) -> None:
    names = ["fine", "limited", "broken", "slow", "coded"]
    at = f"127.0.0.1:{chats.port}"
    endpoints: dict[str, Any] = {
        name: {"type": "apprise", "urls": [f"json://{at}/{name}/?rto=20"]} for name in names if name != "coded"
    }
    endpoints["coded"] = {"type": "webhook", "format": "wecom", "url": f"http://{at}/coded/send?key=abc"}
    endpoints["hook"] = {"type": "webhook", "url": f"http://127.0.0.1:{world.receiver_port}/hook"}
    settings = world.settings(
        tmp_path, endpoints=endpoints, delivery={"timeout": "1s", "retries": ["1s", "2s", "3s", "3s"]}
    )
    world.ends_at = dict.fromkeys(IDS, time.monotonic() + 4)
    (tmp_path / "queue").mkdir()
    drop(tmp_path / "queue", "ids.txt", "".join(f"{one}\n" for one in IDS))
    with DaemonProcess(settings):
        until(lambda: all(len(chats.taken[name]) >= len(IDS) for name in names), seconds=30, what="all chats told")
        time.sleep(1.0)
    order = ends(tmp_path / "state.db")
    assert sorted(order) == IDS
    assert {name: chats.taken[name] for name in names} == dict.fromkeys(names, order)
    assert chats.early == []


def test_a_hanging_chat_delays_no_stop_and_is_notified_after_the_restart(world: World, tmp_path: Path) -> None:
    world.ends_at = {"task-00": time.monotonic()}
    (tmp_path / "queue").mkdir()
    drop(tmp_path / "queue", "ids.txt", "task-00\n")
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        chat = {"type": "apprise", "urls": [f"json://127.0.0.1:{port}/?rto=300"]}
        settings = world.settings(tmp_path, endpoints={"chat": chat}, delivery={"timeout": "1s", "retries": ["1s"]})
        with DaemonProcess(settings) as daemon:
            first, _ = hanging.accept()
            assert first.recv(4) == b"POST"
            time.sleep(2.0)  # longer than delivery.timeout and the first step of delivery.retries
            assert daemon.stop() == 0
        hanging.settimeout(0.1)
        with pytest.raises(TimeoutError):
            hanging.accept()
        hanging.settimeout(60)
        with DaemonProcess(settings):
            again, _ = hanging.accept()
            assert again.recv(4) == b"POST"
        first.close()
        again.close()
