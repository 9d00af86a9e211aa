"""The world around real daemons: a provider and a receiver on loopback.

It does not use `bridge`, so that a mistake there cannot hide itself. It is one event loop in a thread, with the least
HTTP that is needed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from tests.stopwatch import Stopwatch

KEY = "provider-key-0123456789"
HOOK_KEY = "hook-key-0123456789"
RESET = 0  # this status means: break the connection without an answer

Result = TypeVar("Result")
Answer = tuple[int, bytes, Mapping[str, str]]
REFUSED: Answer = (401, json.dumps({"code": 1002, "message": "Authorization is invalid"}).encode(), {})
NOT_SUPPORTED: Answer = (501, b"", {})


@dataclass(frozen=True)
class ReceivedWebhook:
    """One webhook as it arrived. `daemon` is the value of the header X-Daemon, which a crew's daemons send."""

    at: float
    event_id: str
    body: bytes
    headers: Mapping[str, str]
    answered: int
    path: str = ""
    daemon: str = ""

    @cached_property
    def content(self) -> dict[str, Any]:
        """The body, parsed once: tests that wait look at all webhooks again and again."""
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def topic(self) -> str:
        return str(self.content["topic"])

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.content["data"]
        return data


class Request(NamedTuple):
    """One request at the provider, by the account whose key it has."""

    at: float
    daemon: str
    account: str
    ids: Sequence[str]
    in_flight: int  # of the account, with this one
    finished: Sequence[str]  # the ids that it reported as finished


def kling(task_id: str, status: str, *, urls: list[str] | None = None, message: str = "") -> dict[str, Any]:
    """The documented answer to a query."""
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


def suno(task_id: str, is_finished: bool) -> dict[str, Any]:
    """One task in the documented answer to a query, which may be about many tasks."""
    clip = {"id": f"{task_id}-0", "status": "complete" if is_finished else "streaming", "title": "Song"}
    urls = {"audio_url": f"https://cdn.example.test/{task_id}.mp3"}
    finish_time = 1_762_000_060 if is_finished else 0
    times = {"submit_time": 1_762_000_000, "start_time": 1_762_000_001, "finish_time": finish_time}
    status = "SUCCESS" if is_finished else "IN_PROGRESS"
    data = [{**clip, **urls}] if is_finished else []
    return {"task_id": task_id, "action": "MUSIC", "status": status, "fail_reason": "", **times, "data": data}


def no_fault(task_id: str) -> Answer | None:
    return None


def accept(event_id: str, times: int) -> int:
    return 200


@dataclass
class World:
    """Tasks finish when their time comes. Every request and every webhook is kept.

    A test's own `fault` and `receive` are called in threads of their own and may block.
    """

    ends_at: dict[str, float] = field(default_factory=dict)  # monotonic
    fails: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    received: list[ReceivedWebhook] = field(default_factory=list)
    fault: Callable[[str], Answer | None] = no_fault  # an answer in place of the task's own
    receive: Callable[[str, int], int] = accept  # event id, times seen before -> status
    hooks: dict[str, Answer] = field(default_factory=dict)  # by path: answers of the receiver in place of `receive`
    stuck: dict[str, threading.Event] = field(default_factory=dict)  # by path: until then the receiver says nothing
    on_received: Callable[[ReceivedWebhook], None] = lambda webhook: None
    answer_s: float = 0.0  # how long the provider takes
    provider_port: int = 0
    receiver_port: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)
    connections: set[asyncio.Transport] = field(default_factory=set)
    held_since: float | None = None

    def may_block(self, path: str | None = None) -> bool:
        """Whether the answer to a poll, or to a webhook to this path, must be found in a thread."""
        if path is None:
            return self.fault is not no_fault
        return path in self.stuck or self.receive is not accept

    @property
    def polls(self) -> list[tuple[float, str]]:
        """When which task was requested."""
        return [(one.at, task_id) for one in list(self.requests) for task_id in one.ids]

    @contextmanager
    def no_task_finishes(self) -> Iterator[None]:
        """In this block, no task finishes. After it, the remaining time of each task begins again."""
        self.held_since = since = time.monotonic()
        try:
            yield
        finally:
            held_s = time.monotonic() - since
            self.ends_at = {one: at + held_s if at > since else at for one, at in self.ends_at.items()}
            self.held_since = None

    def answer(self, account: str, daemon: str, ids: Sequence[str], *, is_batch: bool) -> Answer:
        """The provider's current answer about these tasks."""
        now = time.monotonic()
        known_until = now if self.held_since is None else self.held_since
        finished = [one for one in ids if known_until >= self.ends_at.get(one, now + 1)]
        self.requests.append(Request(now, daemon, account, ids, self.in_flight[account], finished))
        wrong = self.fault(ids[0])
        if wrong is not None:
            finished.clear()
            return wrong
        if account == "suno":
            songs = [suno(one, one in finished) for one in ids]
            data = songs if is_batch else songs[0]
            return 200, json.dumps({"code": "success", "message": "", "data": data}).encode(), {}
        return self._video(ids[0], is_finished=bool(finished))

    def _video(self, task_id: str, *, is_finished: bool) -> Answer:
        if task_id not in self.ends_at:
            body: dict[str, Any] = {"code": 1203, "message": "The requested resource does not exist", "request_id": "r"}
            return 404, json.dumps(body).encode(), {}
        if not is_finished:
            body = kling(task_id, "processing")
        elif task_id in self.fails:
            body = kling(task_id, "failed", message="Failure to pass the risk control system")
        else:
            body = kling(task_id, "succeed", urls=[f"https://cdn.example.test/{len(task_id)}/{task_id[:40]}.mp4"])
        return 200, json.dumps(body).encode(), {}

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a webhook. Returns the status of the receiver's answer."""
        if path in self.stuck:
            self.stuck[path].wait(60)
        lower = {name.lower(): value for name, value in headers.items()}
        event_id = lower.get("webhook-id", "")  # a chat sends none
        times = sum(webhook.event_id == event_id for webhook in self.received)
        status = self.hooks[path][0] if path in self.hooks else self.receive(event_id, times)
        daemon = lower.get("x-daemon", "")
        webhook = ReceivedWebhook(time.monotonic(), event_id, body, headers, status, path, daemon)
        self.received.append(webhook)
        self.on_received(webhook)
        return status

    def by_task(self) -> dict[str, list[ReceivedWebhook]]:
        """Webhooks about tasks, by task id."""
        found: dict[str, list[ReceivedWebhook]] = defaultdict(list)
        for webhook in list(self.received):
            if webhook.topic.startswith("task_"):
                found[webhook.data["task_id"]].append(webhook)
        return found

    def webhooks(self, *names: str) -> dict[str, Any]:
        """Endpoints at paths of their own, for `settings`."""
        url = f"http://127.0.0.1:{self.receiver_port}"
        return {name: {"type": "webhook", "url": f"{url}/{name}", "api_key": HOOK_KEY} for name in names}

    def settings(self, folder: Path, **more: Any) -> Path:
        """Write a settings file for this world. `more` replaces top-level keys. (JSON is YAML.)"""
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
            "polling": {"min_interval": "0.5s", "max_interval": "2s"},  # tasks in tests are shorter than real ones
            "delivery": {"retries": ["0.3s", "0.5s", "1s", "1s", "2s", "2s", "5s", "5s", "5s"]},
            **more,
        }
        path = folder / "genbridge.yaml"
        path.write_text(json.dumps(settings, indent=1))
        path.chmod(0o600)  # it holds keys
        return path

    def hang_up(self) -> None:
        """Break every open connection."""
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One connection to the provider or the receiver: one request after the other."""

    def __init__(self, world: World, threads: ThreadPoolExecutor, is_provider: bool) -> None:
        self._world = world
        self._threads = threads
        self._is_provider = is_provider
        self._read = b""
        self._transport: asyncio.Transport
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._world.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._world.connections.discard(self._transport)
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        lower = {name.lower(): value for name, value in headers.items()}
        length = int(lower.get("content-length", 0))
        if len(rest) < length:
            return  # if the sender was killed in the middle, nothing has arrived
        self._read = rest[length:]
        method, path, _ = first.split(" ")
        if self._is_provider:
            answering = self._provide(method, path, lower, rest[:length])
        else:
            answering = self._receive(method, path, headers, rest[:length])
        self._answering = asyncio.get_running_loop().create_task(answering)

    async def _provide(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        world, key = self._world, headers.get("authorization", "").removeprefix("Bearer ")
        account = "kling" if key == KEY else key.removeprefix("key-of-")
        if key != KEY and account == key:
            self._reply(*REFUSED)
        elif method != ("POST" if body else "GET"):
            self._reply(*NOT_SUPPORTED)
        else:
            ids = json.loads(body)["ids"] if body else [unquote(path.rsplit("/", 1)[-1])]
            world.in_flight[account] += 1
            try:
                asked = partial(world.answer, account, headers.get("x-daemon", ""), ids, is_batch=bool(body))
                answer = await self._called(asked) if world.may_block() else asked()
                await asyncio.sleep(world.answer_s)
            finally:
                world.in_flight[account] -= 1
            self._reply(*answer)

    async def _receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        if method != "POST":
            self._reply(*NOT_SUPPORTED)
            return
        took = partial(self._world.take, path, headers, body)
        status = await self._called(took) if self._world.may_block(path) else took()
        _, said, more = self._world.hooks.get(path, (status, b"ok", {}))
        self._reply(status, said, more)

    async def _called(self, answer: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, answer)

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if status == RESET:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            return
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._transport.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


@contextmanager
def running_world(world: World) -> Iterator[World]:
    """Both servers, on free ports of loopback, until the block ends."""
    loop = asyncio.new_event_loop()
    threads = ThreadPoolExecutor(64)
    servers: list[asyncio.Server] = []

    async def serve() -> None:
        for is_provider in (True, False):
            made = partial(_Connection, world, threads, is_provider)
            servers.append(await loop.create_server(made, "127.0.0.1", 0, backlog=256))
        world.provider_port, world.receiver_port = (server.sockets[0].getsockname()[1] for server in servers)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
        yield world
    finally:
        for server in servers:
            loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(world.hang_up)
        loop.call_soon_threadsafe(loop.call_later, 0.05, loop.stop)
        thread.join(5)
        threads.shutdown(wait=False)
        loop.close()


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait until the condition holds. AssertionError with `what` if it does not.

    `seconds` is what an idle machine needs; three times as many are allowed, without the time in which this process
    waited for a core. To test a promise in seconds, use the `Stopwatch` of the process that must keep it. A condition
    that takes long, such as one that runs a command, is checked less often: it must not take the cores from what it
    waits for.
    """
    waiting, deadline = Stopwatch(), time.monotonic() + 3 * seconds
    while True:
        begun_at = time.monotonic()
        if condition():
            return
        took_s = time.monotonic() - begun_at
        if begun_at > deadline and waiting.seconds > 3 * seconds:
            raise AssertionError(f"not within 3 x {seconds} s: {what}")
        time.sleep(min(max(0.02, 2 * took_s), 1.0))


def drop(folder: Path, name: str, text: str) -> None:
    """Add a file to a queue folder as programs should: write it under another name, then rename it."""
    aside = folder / f".{name}"
    aside.write_text(text)
    aside.rename(folder / name)
