"""The outside world of a real daemon: a provider and a receiver as real HTTP servers on loopback, and its process.

Independent of `bridge`: plain `http.server`, so that a mistake of ours cannot hide behind itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

KEY = "provider-key-0123456789"
HOOK_KEY = "hook-key-0123456789"
RESET = 0  # an answer's status that means: cut the connection without a word


@dataclass(frozen=True)
class Told:
    """One webhook as it arrived."""

    at: float
    event_id: str
    body: bytes
    headers: Mapping[str, str]
    answered: int

    @property
    def topic(self) -> str:
        return str(json.loads(self.body)["topic"])

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


def kling(task_id: str, status: str, *, urls: list[str] | None = None, message: str = "") -> dict[str, Any]:
    """The documented answer of a query."""
    data: dict[str, Any] = {
        "task_id": task_id,
        "task_status": status,
        "task_status_msg": message,
        "created_at": 1_762_000_000_000,
        "updated_at": 1_762_000_060_000,
    }
    if urls is not None:
        data["task_result"] = {"videos": [{"id": "1", "url": url, "duration": "5.1"} for url in urls]}
    return {"code": 0, "message": "SUCCEED", "request_id": "r", "data": data}


@dataclass
class World:
    """Tasks end when their time comes; everything that was asked and told is kept."""

    ends_at: dict[str, float] = field(default_factory=dict)  # monotonic
    fails: set[str] = field(default_factory=set)
    polls: list[tuple[float, str]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    fault: Callable[[str], tuple[int, bytes, Mapping[str, str]] | None] = lambda task_id: None
    receive: Callable[[str, int], int] = lambda event_id, times: 200  # event id, times seen before -> status
    on_told: Callable[[Told], None] = lambda told: None
    provider_port: int = 0
    receiver_port: int = 0

    def answer(self, task_id: str) -> tuple[int, bytes, Mapping[str, str]]:
        """What the provider says of a task now."""
        self.polls.append((time.monotonic(), task_id))
        wrong = self.fault(task_id)
        if wrong is not None:
            return wrong
        if task_id not in self.ends_at:
            body: dict[str, Any] = {"code": 1203, "message": "The requested resource does not exist", "request_id": "r"}
            return 404, json.dumps(body).encode(), {}
        if time.monotonic() < self.ends_at[task_id]:
            body = kling(task_id, "processing")
        elif task_id in self.fails:
            body = kling(task_id, "failed", message="Failure to pass the risk control system")
        else:
            body = kling(task_id, "succeed", urls=[f"https://cdn.example.test/{len(task_id)}/{task_id[:40]}.mp4"])
        return 200, json.dumps(body).encode(), {}

    def by_task(self) -> dict[str, list[Told]]:
        """Webhooks about tasks, by task id."""
        found: dict[str, list[Told]] = defaultdict(list)
        for told in self.told:
            if told.topic.startswith("task_"):
                found[told.data["task_id"]].append(told)
        return found

    def settings(self, folder: Path, **more: Any) -> Path:
        """Write a settings file for this world; `more` is merged in at the top level (JSON is YAML)."""
        settings: dict[str, Any] = {
            "store": "state.db",
            "accounts": {
                "kling": {
                    "provider": "kling",
                    "base_url": f"http://127.0.0.1:{self.provider_port}",
                    "api_key": KEY,
                    "action": "videos/text2video",
                    "limits": {"rate": 500, "burst": 500, "concurrency": 32},
                }
            },
            "sources": {"queue": "queue/"},
            "endpoints": {
                "hook": {"type": "webhook", "url": f"http://127.0.0.1:{self.receiver_port}/hook", "api_key": HOOK_KEY}
            },
            "polling": {"min_interval": "0.5s", "max_interval": "2s"},  # its tasks are not as long as they say
            "delivery": {"retries": ["0.3s", "0.5s", "1s", "1s", "2s", "2s", "5s", "5s", "5s"]},
            **more,
        }
        path = folder / "genbridge.yaml"
        path.write_text(json.dumps(settings, indent=1))
        path.chmod(0o600)  # it holds keys
        return path


@contextmanager
def running_world(world: World) -> Iterator[World]:
    """Both servers, on free ports of loopback, until the block ends."""

    class Provider(_Quiet):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                self.reply(401, json.dumps({"code": 1002, "message": "Authorization is invalid"}).encode())
                return
            self.reply(*world.answer(unquote(self.path.rsplit("/", 1)[-1])))

    class Receiver(_Quiet):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # the sender was killed in the middle: nothing has arrived
            event_id = self.headers["webhook-id"]
            times = sum(told.event_id == event_id for told in world.told)
            status = world.receive(event_id, times)
            told = Told(time.monotonic(), event_id, body, dict(self.headers.items()), status)
            world.told.append(told)
            world.on_told(told)
            self.reply(status, b"ok")

    provider, receiver = _Server(("127.0.0.1", 0), Provider), _Server(("127.0.0.1", 0), Receiver)
    world.provider_port, world.receiver_port = provider.server_address[1], receiver.server_address[1]
    for server in (provider, receiver):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield world
    finally:
        for server in (provider, receiver):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed daemon's broken connections are what these tests are about."""


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at what was kept."""

    def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        if status == RESET:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DaemonProcess:
    """`genbridge run` as a real process, ended by its own id."""

    def __init__(
        self, settings: Path, *, wrapper: list[str] | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings
        self.wrapped = wrapper is not None
        self.log = settings.parent / "daemon.log"
        command = [*(wrapper or []), sys.executable, "-m", "bridge", "run", "--config", str(settings)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(env or {})})

    @property
    def pid(self) -> int:
        """Of the daemon itself, also below a wrapper such as strace."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if self.wrapped and children else self.process.pid

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(15)

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait for a condition of the real world; fail with `what` when it does not come true.

    `seconds` are for a machine that has nothing else to do, so three times as many are given. What is promised in
    seconds is measured by a `Stopwatch`.
    """
    deadline = time.monotonic() + 3 * seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within 3 x {seconds} s: {what}")
        time.sleep(0.02)


def drop(folder: Path, name: str, text: str) -> None:
    """Put a file into a queue folder the way people are told to: write aside, then rename."""
    aside = folder / f".{name}"
    aside.write_text(text)
    aside.rename(folder / name)
