"""The outside world of several daemons on one store: a provider and a receiver that write down everything, and a crew.

Independent of `bridge`: one event loop in a thread, and as little HTTP as it takes.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.world import DaemonProcess, kling, until

KINDS = {"kling": "kling", "suno": "suno"}  # account: its provider; Suno's answers about many at once
RUNNING, SUCCEEDED = "task_running", "task_succeeded"

Answer = tuple[int, bytes, Mapping[str, str]]
REFUSED: Answer = (401, json.dumps({"code": 1002, "message": "Authorization is invalid"}).encode(), {})


class Asked(NamedTuple):
    """One request at the provider."""

    at: float
    daemon: str
    account: str
    ids: Sequence[str]
    in_flight: int  # of the account's, with this one
    ended: Sequence[str]  # those of the ids whose end it answered


class Heard(NamedTuple):
    """One webhook at the receiver."""

    at: float
    daemon: str
    event_id: str
    body: bytes

    @property
    def topic(self) -> str:
        return str(json.loads(self.body)["topic"])

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


@dataclass
class Crowd:
    """Tasks end when their time comes; everything that was asked and told is kept, and by which daemon."""

    ends_at: dict[str, float] = field(default_factory=dict)  # monotonic
    asked: list[Asked] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    limits: Mapping[str, float] = field(default_factory=lambda: {"rate": 200, "burst": 64, "concurrency": 16})
    answer_s: float = 0.0
    fault: Callable[[str], Answer | None] = lambda account: None
    provider_port: int = 0
    receiver_port: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)
    connections: set[asyncio.Transport] = field(default_factory=set)
    stands_since: float | None = None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """No task ends meanwhile: what is left of each begins again afterwards."""
        self.stands_since = since = time.monotonic()
        try:
            yield
        finally:
            stood_s = time.monotonic() - since
            self.ends_at = {one: at + stood_s if at > since else at for one, at in self.ends_at.items()}
            self.stands_since = None

    def tasks(self, account: str, count: int, *, ends_in: Callable[[int], float]) -> list[dict[str, str]]:
        """So many tasks more, each as a source takes it."""
        ids = [f"{account}-{len(self.ends_at) + number}" for number in range(count)]
        now = time.monotonic()
        self.ends_at |= {task_id: now + ends_in(number) for number, task_id in enumerate(ids)}
        return [{"id": task_id, "account": account} for task_id in ids]

    def settings(self, folder: Path, name: str, store: str, **more: Any) -> Path:
        """Settings of one daemon; `more` is merged in at the top level."""
        accounts = {
            account: {
                "provider": provider,
                "base_url": f"http://127.0.0.1:{self.provider_port}",
                "api_key": f"key-of-{account}",
                "headers": {"X-Daemon": name},
                "limits": self.limits,
                **({"action": "videos/text2video"} if provider == "kling" else {}),
            }
            for account, provider in KINDS.items()
        }
        hook = {
            "type": "webhook",
            "url": f"http://127.0.0.1:{self.receiver_port}/hook",
            "headers": {"X-Daemon": name},
        }
        topics = ["task_running", "task_succeeded", "task_failed", "account_blocked", "account_restored"]
        settings = {
            "store": store,
            "accounts": accounts,
            "sources": {"queue": "queue/"},
            "endpoints": {"hook": hook},
            "routes": [{"topics": topics, "endpoints": ["hook"]}],
            "polling": {"min_interval": "0.5s", "max_interval": "2s"},
            "delivery": {"retries": ["0.3s", "0.5s", "1s", "1s", "2s"]},
            "sharing": {"name": name, "takeover": "5s"},
            **more,
        }
        (folder / name).mkdir(exist_ok=True)
        path = folder / name / "genbridge.yaml"
        path.write_text(json.dumps(settings, indent=1))
        path.chmod(0o600)
        return path

    def hang_up(self) -> None:
        """Break every connection there is."""
        for connection in list(self.connections):
            connection.abort()

    def sent(self, daemon: str, *, since: float) -> list[float]:
        """When this daemon sent anything to anybody."""
        asked = [one.at for one in list(self.asked) if one.daemon == daemon]
        return [at for at in asked + [one.at for one in list(self.heard) if one.daemon == daemon] if at > since]

    def ended(self) -> set[str]:
        """The tasks whose end has been told."""
        return {one.data["task_id"] for one in list(self.heard) if one.topic == SUCCEEDED}

    def answer(self, account: str, daemon: str, ids: Sequence[str]) -> Answer:
        """What the provider says of these tasks now."""
        now = time.monotonic()
        wrong = self.fault(account)
        ended_by = now if self.stands_since is None else self.stands_since
        over = [one for one in ids if ended_by >= self.ends_at.get(one, now + 1)]
        self.asked.append(Asked(now, daemon, account, ids, self.in_flight[account], [] if wrong else over))
        if wrong is not None:
            return wrong
        if KINDS[account] == "kling":
            [task_id] = ids
            urls = [f"https://cdn.example.test/{task_id}.mp4"] if over else None
            body: dict[str, Any] = kling(task_id, "succeed" if over else "processing", urls=urls)
        else:
            body = {"code": "success", "message": "", "data": [_song(task_id, task_id in over) for task_id in ids]}
        return 200, json.dumps(body).encode(), {}


def _song(task_id: str, is_over: bool) -> dict[str, Any]:
    clip = {"id": f"{task_id}-0", "status": "complete" if is_over else "streaming", "title": "Song"}
    urls = {"audio_url": f"https://cdn.example.test/{task_id}.mp3"}
    status = "SUCCESS" if is_over else "IN_PROGRESS"
    times = {"submit_time": 1_762_000_000, "start_time": 1_762_000_001, "finish_time": 1_762_000_060 if is_over else 0}
    data = [{**clip, **urls}] if is_over else []
    return {"task_id": task_id, "action": "MUSIC", "status": status, "fail_reason": "", **times, "data": data}


class _Connection(asyncio.Protocol):
    """One connection to provider or receiver: requests one after the other."""

    def __init__(self, crowd: Crowd, is_provider: bool) -> None:
        self._crowd = crowd
        self._is_provider = is_provider
        self._read = b""
        self._waiting: tuple[str, asyncio.TimerHandle] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._crowd.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.connections.discard(self._transport)
        if self._waiting is not None:
            account, timer = self._waiting
            timer.cancel()
            self._crowd.in_flight[account] -= 1

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._read = rest[length:]
        if self._is_provider:
            self._asked(first.split(" ")[1], headers, rest[:length])
        else:
            heard = Heard(time.monotonic(), headers["x-daemon"], headers["webhook-id"], rest[:length])
            self._crowd.heard.append(heard)
            self._reply(200, b"ok", {})

    def _asked(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        account = headers["authorization"].removeprefix("Bearer key-of-")
        last = unquote(path.rsplit("/", 1)[-1])
        ids = json.loads(body)["ids"] if body else [last]
        self._crowd.in_flight[account] += 1
        answer = self._crowd.answer(account, headers["x-daemon"], ids)
        if KINDS[account] == "suno" and not body and answer[0] == 200:
            data = json.loads(answer[1])
            answer = 200, json.dumps({**data, "data": data["data"][0]}).encode(), {}
        timer = asyncio.get_running_loop().call_later(self._crowd.answer_s, self._answered, account, answer)
        self._waiting = account, timer

    def _answered(self, account: str, answer: Answer) -> None:
        self._waiting = None
        self._crowd.in_flight[account] -= 1
        self._reply(*answer)

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        said = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self._transport.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


@contextmanager
def running_crowd(crowd: Crowd) -> Iterator[Crowd]:
    """Both servers, on free ports of loopback, until the block ends."""
    loop = asyncio.new_event_loop()
    servers: list[asyncio.Server] = []

    async def serve() -> None:
        for is_provider in (True, False):
            server = await loop.create_server(partial(_Connection, crowd, is_provider), "127.0.0.1", 0)
            servers.append(server)
            port = server.sockets[0].getsockname()[1]
            if is_provider:
                crowd.provider_port = port
            else:
                crowd.receiver_port = port

    loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield crowd
    finally:
        loop.call_soon_threadsafe(crowd.hang_up)
        for server in servers:
            loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.call_later, 0.05, loop.stop)
        thread.join(5)
        loop.close()


class Crew:
    """Daemons with a store in common; each may be killed, stopped, frozen and begun anew."""

    def __init__(self, crowd: Crowd, folder: Path, store: str) -> None:
        self.crowd = crowd
        self.folder = folder
        self.store = store
        self.daemons: dict[str, DaemonProcess] = {}
        self._ready_before: dict[str, int] = {}

    def start(self, *names: str, store: str | None = None, env: Mapping[str, str] | None = None, **more: Any) -> None:
        """Start these; what has run under such a name before goes on with its folder."""
        for name in names:
            path = self.crowd.settings(self.folder, name, store or self.store, **more)
            log = path.with_name("daemon.log")
            self._ready_before[name] = log.read_text().count("daemon.ready") if log.exists() else 0
            self.daemons[name] = DaemonProcess(path, env=env)

    def send(self, name: str, number: int) -> None:
        os.kill(self.daemons[name].pid, number)

    def drop(self, name: str, tasks: Sequence[Mapping[str, str]]) -> None:
        """Give tasks to one daemon's queue."""
        queue = self.folder / name / "queue"
        queue.mkdir(exist_ok=True, parents=True)
        aside = queue / f".{len(self.crowd.ends_at)}.json"
        aside.write_text(json.dumps(tasks))
        aside.rename(queue / aside.name[1:])

    def stop(self) -> list[int]:
        """SIGTERM to all, once they are ready; their exit codes."""
        until(lambda: all(map(self.is_ready, self.daemons)), seconds=20, what="all are ready")
        for daemon in self.daemons.values():
            os.kill(daemon.pid, signal.SIGTERM)
        return [daemon.process.wait(15) for daemon in self.daemons.values()]

    def is_ready(self, name: str) -> bool:
        """Whether the one that was started last has begun to work."""
        return self.log(name).count("daemon.ready") > self._ready_before[name]

    def log(self, name: str) -> str:
        return self.daemons[name].log.read_text()

    def busy(self, since: float) -> Counter[str]:
        """Which daemon has asked how often since then."""
        return Counter(one.daemon for one in list(self.crowd.asked) if one.at >= since)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons.values():
            if daemon.process.poll() is None:
                daemon.kill()


@dataclass(frozen=True)
class Verdict:
    """What came of it all, as the world saw it."""

    lost: int
    double_ids: int
    differing: int
    repeated: int  # deliveries more than once
    late_polls: int  # after the end was answered
    disordered: int  # told that it runs after it was told that it has ended


def verdict(crowd: Crowd) -> Verdict:
    bodies, times = defaultdict(set), Counter[str]()
    by_fact, order = defaultdict(set), defaultdict(list)
    for one in crowd.heard:
        times[one.event_id] += 1
        bodies[one.event_id].add(one.body)
        if times[one.event_id] == 1 and one.topic.startswith("task_"):
            task_id = one.data["task_id"]
            by_fact[task_id, one.topic].add(one.event_id)
            order[task_id].append(one.topic)
    answered = Counter(task_id for one in crowd.asked for task_id in one.ended)
    return Verdict(
        lost=len(crowd.ends_at.keys() - crowd.ended()),
        double_ids=sum(len(ids) > 1 for ids in by_fact.values()),
        differing=sum(len(different) > 1 for different in bodies.values()),
        repeated=sum(times.values()) - len(times),
        late_polls=sum(answered.values()) - len(answered),
        disordered=sum(SUCCEEDED in topics[: topics.index(RUNNING)] for topics in order.values() if RUNNING in topics),
    )


def most_over(asked: Iterable[Asked], account: str, *, rate: float) -> float:
    """The most requests of an account beyond its rate, in any window at all: what its burst must cover."""
    most, least = 0.0, math.inf
    for count, at in enumerate(sorted(one.at for one in asked if one.account == account)):
        least = min(least, count - rate * at)
        most = max(most, count + 1 - rate * at - least)
    return most
