"""Several daemons on one store, and what the provider and receiver have recorded."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon_process import DaemonProcess
from tests.world import Request, World, until

PROVIDERS = {"kling": "kling", "suno": "suno"}  # account: provider. An answer of Suno is about many tasks
RUNNING, SUCCEEDED = "task_running", "task_succeeded"
TRIO = ("a", "b", "c")
TAKEOVER_S = 5.0
LIMITS = {"rate": 200, "burst": 64, "concurrency": 16}


def new_tasks(world: World, account: str, count: int, *, ends_in: Callable[[int], float]) -> list[dict[str, str]]:
    """Add tasks to the world. Returns an entry of a queue file for each."""
    ids = [f"{account}-{len(world.ends_at) + number}" for number in range(count)]
    now = time.monotonic()
    world.ends_at |= {task_id: now + ends_in(number) for number, task_id in enumerate(ids)}
    return [{"id": task_id, "account": account} for task_id in ids]


def notified(world: World) -> set[str]:
    """The tasks that the receiver knows to have succeeded."""
    return {one.data["task_id"] for one in list(world.received) if one.topic == SUCCEEDED}


def sent(world: World, daemon: str, *, since: float) -> list[float]:
    """When this daemon sent any request or webhook after `since`."""
    requests = [one.at for one in list(world.requests) if one.daemon == daemon]
    return [at for at in requests + [one.at for one in list(world.received) if one.daemon == daemon] if at > since]


def lasting(number: int) -> float:
    """A duration that is longer than any test."""
    return 3600.0


class Crew:
    """Daemons on one store. Each can be killed, stopped, frozen and started again."""

    def __init__(self, world: World, folder: Path, store: str, *, limits: Mapping[str, float] = LIMITS) -> None:
        self.world = world
        self.limits = limits
        self.folder = folder
        self.store = store
        self.daemons: dict[str, DaemonProcess] = {}
        self._ready_before: dict[str, int] = {}

    def start(self, *names: str, store: str | None = None, env: Mapping[str, str] | None = None, **more: Any) -> None:
        """Start these daemons. A name that was used before keeps its folder. With `env`, they start from scratch,
        because a copied process has read it already."""
        for name in names:
            path = self._settings(name, store or self.store, more)
            log = path.with_name("daemon.log")
            self._ready_before[name] = log.read_text().count("daemon.ready") if log.exists() else 0
            self.daemons[name] = DaemonProcess(path, env=env, from_scratch=env is not None)

    def _settings(self, name: str, store: str, more: Mapping[str, Any]) -> Path:
        accounts = {
            account: {
                "provider": provider,
                "base_url": f"http://127.0.0.1:{self.world.provider_port}",
                "api_key": f"key-of-{account}",
                "headers": {"X-Daemon": name},
                "limits": self.limits,
                **({"action": "videos/text2video"} if provider == "kling" else {}),
            }
            for account, provider in PROVIDERS.items()
        }
        hook = {
            "type": "webhook",
            "url": f"http://127.0.0.1:{self.world.receiver_port}/hook",
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
        (self.folder / name).mkdir(exist_ok=True)
        path = self.folder / name / "genbridge.yaml"
        path.write_text(json.dumps(settings, indent=1))
        path.chmod(0o600)
        return path

    def send(self, name: str, number: int) -> None:
        os.kill(self.daemons[name].pid, number)

    def drop(self, name: str, tasks: Sequence[Mapping[str, str]]) -> None:
        """Give tasks to one daemon's queue."""
        queue = self.folder / name / "queue"
        queue.mkdir(exist_ok=True, parents=True)
        aside = queue / f".{len(self.world.ends_at)}.json"
        aside.write_text(json.dumps(tasks))
        aside.rename(queue / aside.name[1:])

    def stop(self) -> list[int]:
        """Send SIGTERM to all once they are ready. Returns their exit codes."""
        until(lambda: all(map(self.is_ready, self.daemons)), seconds=20, what="all are ready")
        for daemon in self.daemons.values():
            os.kill(daemon.pid, signal.SIGTERM)
        return [daemon.exits_within(15) for daemon in self.daemons.values()]

    def is_ready(self, name: str) -> bool:
        """Whether the daemon that was started last has begun to work."""
        return self.log(name).count("daemon.ready") > self._ready_before[name]

    def has_taken(self, name: str) -> bool:
        """Whether its queue is empty. A daemon that is killed earlier leaves tasks in files that only it reads."""
        return not list((self.folder / name / "queue").glob("*.json"))

    def log(self, name: str) -> str:
        return self.daemons[name].log.read_text()

    def busy(self, since: float) -> Counter[str]:
        """How often each daemon has polled since then."""
        return Counter(one.daemon for one in list(self.world.requests) if one.at >= since)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons.values():
            if daemon.process.poll() is None:
                daemon.kill()


@dataclass(frozen=True)
class Verdict:
    """The result of a test, as the provider and the receiver saw it."""

    lost: int
    double_ids: int
    differing: int
    repeated: int  # deliveries that arrived again
    late_polls: int  # polls after an answer that showed the finish
    disordered: int  # tasks whose start was notified after their finish


def verdict(world: World) -> Verdict:
    bodies, times = defaultdict(set), Counter[str]()
    by_fact, order = defaultdict(set), defaultdict(list)
    for one in world.received:
        times[one.event_id] += 1
        bodies[one.event_id].add(one.body)
        if times[one.event_id] == 1 and one.topic.startswith("task_"):
            task_id = one.data["task_id"]
            by_fact[task_id, one.topic].add(one.event_id)
            order[task_id].append(one.topic)
    answered = Counter(task_id for one in world.requests for task_id in one.finished)
    return Verdict(
        lost=len(world.ends_at.keys() - notified(world)),
        double_ids=sum(len(ids) > 1 for ids in by_fact.values()),
        differing=sum(len(different) > 1 for different in bodies.values()),
        repeated=sum(times.values()) - len(times),
        late_polls=sum(answered.values()) - len(answered),
        disordered=sum(SUCCEEDED in topics[: topics.index(RUNNING)] for topics in order.values() if RUNNING in topics),
    )


def most_over(requests: Iterable[Request], account: str, *, rate: float) -> float:
    """How many more requests than its rate allows an account sent, in the worst window. The burst must be at least
    this."""
    most, least = 0.0, math.inf
    for count, at in enumerate(sorted(one.at for one in requests if one.account == account)):
        least = min(least, count - rate * at)
        most = max(most, count + 1 - rate * at - least)
    return most


def all_share(crew: Crew, *names: str, within_s: float = 15.0) -> None:
    """Wait until each of these daemons has taken the tasks in its queue, and polls. (Each polls every two seconds or
    so.)

    First wait until they are ready: on a busy machine a start may take ten seconds. No task finishes meanwhile, so that
    there is something to share.
    """
    with crew.world.no_task_finishes():
        until(lambda: all(map(crew.is_ready, names)), seconds=20, what=f"{names} are ready")
        until(lambda: all(map(crew.has_taken, names)), seconds=within_s, what=f"{names} have taken their tasks")
        begun = time.monotonic()

        def share() -> bool:
            return crew.busy(max(begun, time.monotonic() - 3)).keys() >= set(names)

        until(share, seconds=within_s, what=f"{names} share the work")


def settle(crew: Crew, *, within_s: float = 40.0) -> Verdict:
    """Wait until every task has finished and is notified, then stop all daemons."""
    world = crew.world
    until(lambda: notified(world) >= world.ends_at.keys(), seconds=within_s, what="every result sent")
    assert crew.stop() == [0] * len(crew.daemons)
    return verdict(world)
