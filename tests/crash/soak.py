"""A long run of real daemons with every fault, and kills: `python -m tests.crash.soak --hours 2`.

Everything is on 127.0.0.1. Ctrl-C ends it early, with the figures so far. Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.footprint import Sample, growth, logged_errors, sample
from tests.crash.soak_world import ENDPOINTS, OUTAGES, TIMEOUT_S, SoakWorld
from tests.daemon_process import DaemonProcess
from tests.stopwatch import Stopwatch
from tests.world import KEY, drop, running_world

WAYS = {"queue": 6, "post": 3, "add": 1}  # how tasks are handed over, with weights
TICK_S = 2.0  # time between two batches of tasks
READY_S = 30.0  # the longest that a start may take on a busy machine
SETTLE_S = 600.0  # the longest time until everything is delivered, after the last task was added
SAMPLE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run. Either `kills` or `seconds` ends it."""

    folder: Path
    kills: int = 0
    seconds: float = 0.0
    rate: float = 3.0  # tasks handed over per second
    lasts_s: tuple[float, float] = (10.0, 90.0)  # shortest and longest duration of a task
    store: str = "state.db"
    daemons: int = 1
    outages: Sequence[str] = OUTAGES
    seed: int = 1


@dataclass
class Member:
    """One of the daemons: its settings, its port, its current process, and what its earlier processes did."""

    settings: Path
    port: int
    process: DaemonProcess
    started_at: float
    life: Stopwatch
    kills: int = 0
    own_ends: list[int] = field(default_factory=list)  # exit codes of daemons that nobody killed

    @property
    def is_alive(self) -> bool:
        return self.process.process.poll() is None


class Soak:
    """One run. `run` returns the figures."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.luck = random.Random(plan.seed)
        self.world = SoakWorld(luck=random.Random(plan.seed + 1))
        self.members: list[Member] = []
        self.samples: list[Sample] = []
        self.recovery_s: list[float] = []
        self.ways: Counter[str] = Counter()
        self.ended = threading.Event()  # no more tasks, outages and samples
        self.begun_at = time.monotonic()
        self.unconfirmed: list[tuple[str, list[str]]] = []

    def run(self) -> dict[str, object]:
        with running_world(self.world):
            for number in range(self.plan.daemons):
                self.members.append(self._member(number))
            threads = [threading.Thread(target=each) for each in (self._feed, self._disturb, self._sample)]
            for thread in threads:
                thread.start()
            codes: list[int] = []
            try:
                self._kill_often() if self.plan.kills else self._kill_seldom()
                self.ended.set()
                threads[0].join()
                self._settle()
                codes = [member.process.stop() for member in self.members]
            except KeyboardInterrupt:
                say("stopped early")
            finally:
                self.ended.set()
                for member in self.members:
                    if member.is_alive:
                        member.process.kill()
                for thread in threads:
                    thread.join()
            return self.figures(codes)

    # --- daemons

    def _member(self, number: int) -> Member:
        folder = self.plan.folder / f"daemon-{number}"
        (folder / "queue").mkdir(parents=True, exist_ok=True)
        port = free_port()
        headers = {"X-Daemon": folder.name}
        account = {
            "provider": "kling",
            "base_url": f"http://127.0.0.1:{self.world.provider_port}",
            "api_key": KEY,
            "action": "videos/text2video",
            "limits": {"rate": 500, "burst": 500, "concurrency": 32},
            "headers": headers,
        }
        hooks = self.world.webhooks(*ENDPOINTS)
        polling = {"min_interval": "1s", "max_interval": "15s", "timeout": f"{TIMEOUT_S:.0f}s"}
        retries = ["1s", "2s", "5s", "10s", "20s", "30s", *["60s"] * 10]
        more: dict[str, Any] = {"sharing": {"name": folder.name, "takeover": "5s"}} if self.plan.daemons > 1 else {}
        settings = self.world.settings(
            folder,
            store=self.plan.store,
            accounts={"kling": account},
            endpoints={name: {**hook, "headers": headers} for name, hook in hooks.items()},
            polling=polling,
            delivery={"retries": retries, "timeout": f"{TIMEOUT_S:.0f}s"},
            http={"listen": f"127.0.0.1:{port}"},
            **more,
        )
        process = DaemonProcess(settings, from_scratch=True)
        return Member(settings, port, process, time.monotonic(), Stopwatch(process.pid))

    def _restart(self, member: Member) -> None:
        member.process = DaemonProcess(member.settings, from_scratch=True)
        member.started_at = time.monotonic()
        member.life = Stopwatch(member.process.pid)

    def _kill(self, member: Member) -> None:
        """Kill the daemon with SIGKILL and start it again."""
        if member.is_alive:
            member.process.kill()
            member.kills += 1
        else:
            member.own_ends.append(member.process.process.wait())
        self._restart(member)

    def _kill_often(self) -> None:
        """Kill at random moments: at any time, during a start, just after a webhook, while tasks are handed over."""
        for number in range(self.plan.kills):
            member = self.luck.choice(self.members)
            match self.luck.choices(["start", "any", "webhook"], [2, 5, 3])[0]:
                case "start":
                    self.ended.wait(self.luck.uniform(0.0, 1.5))
                case "any":
                    self._await_act(member)
                    self.ended.wait(self.luck.uniform(0.0, 2.0))
                case _:
                    self._await_act(member)
                    self.world.arrived.clear()
                    self.world.arrived.wait(2.0)  # the receiver has accepted it, but this is not stored yet
            self._kill(member)
            if number % 50 == 49:
                self._report_progress()
        self._await_act(self.members[0])

    def _await_act(self, member: Member) -> None:
        """Wait for this daemon's first poll or webhook after its start, and keep how long it took (see `Stopwatch`)."""
        acts, name = self.world.acts, member.settings.parent.name
        before = acts[name]
        while acts[name] == before and member.is_alive and time.monotonic() < member.started_at + READY_S:
            time.sleep(0.005)
        self.recovery_s.append(member.life.seconds)

    def _kill_seldom(self) -> None:
        """Kill a daemon about every ten minutes in the first half. The second half shows the memory of daemons that run
        for long."""
        half_at, end_at = self.begun_at + self.plan.seconds / 2, self.begun_at + self.plan.seconds
        while time.monotonic() < end_at:
            pause_s = min(600.0, self.plan.seconds / 12) * self.luck.uniform(0.7, 1.3)
            self._watch_over(min(pause_s, end_at - time.monotonic()))
            if time.monotonic() < half_at:
                member = self.luck.choice(self.members)
                self._kill(member)
                self._await_act(member)

    def _watch_over(self, seconds: float) -> None:
        """Wait for this long. A daemon that ends by itself is recorded and started again."""
        until_at = time.monotonic() + seconds
        reported_at = time.monotonic()
        while (left_s := until_at - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s))
            for member in self.members:
                if not member.is_alive:
                    self._kill(member)
            if time.monotonic() > reported_at + 60:
                self._report_progress()
                reported_at = time.monotonic()

    def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline and not (self.world.is_all_accepted() and not self.unconfirmed):
            self._watch_over(1.0)
            self._hand_over()

    # --- threads of their own

    def _feed(self) -> None:
        """Hand over tasks steadily until the run ends. Batches that were not confirmed are handed over again."""
        low, high = self.plan.lasts_s
        number = 0
        while not self.ended.wait(TICK_S * self.luck.uniform(0.5, 1.5)):
            luck = random.Random(f"{self.plan.seed}-{number}")
            size = luck.randint(1, max(1, round(2 * self.plan.rate * TICK_S) - 1))
            ids = [f"soak-{number:06d}-{each}" for each in range(size)]
            number += 1
            now = time.monotonic()
            self.world.fails |= {one for one in ids if luck.random() < 0.1}
            for one in ids:
                lasts_s = luck.uniform(0, 2) if luck.random() < 0.05 else luck.uniform(low, high)
                self.world.ends_at[one] = now + lasts_s
            self.unconfirmed.append((luck.choices(list(WAYS), list(WAYS.values()))[0], ids))
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand over each batch that is not confirmed yet. To add a task twice does no harm."""
        for way, ids in list(self.unconfirmed):
            member = self.luck.choice(self.members)
            match way:
                case "queue":
                    drop(member.settings.parent / "queue", f"{ids[0]}.txt", "".join(f"{one}\n" for one in ids))
                    is_confirmed = True  # a file in the folder is already on disk
                case "post":
                    is_confirmed = post(member.port, ids)
                case _:
                    is_confirmed = add(member.settings, ids)
            self.ways[way] += 1
            if is_confirmed:
                self.unconfirmed.remove((way, ids))

    def _disturb(self) -> None:
        """Cause an outage now and then: the provider fails or refuses the key, or receivers are down."""
        shortest_s = min(120.0, (self.plan.seconds or self.plan.kills * 2) / 10)
        luck = random.Random(self.plan.seed + 2)
        while not self.ended.wait(luck.uniform(1, 3) * shortest_s):
            self.world.outage = luck.choice(self.plan.outages)
            self.ended.wait(luck.uniform(0.2, 0.5) * shortest_s)
            self.world.outage = ""

    def _sample(self) -> None:
        while not self.ended.wait(SAMPLE_S):
            for member in self.members:
                with suppress(OSError, IndexError, StopIteration):  # killed meanwhile
                    self.samples.append(sample(member.process.pid, member.started_at, member.settings.parent))

    # --- figures

    def _report_progress(self) -> None:
        seen = self.world.figures()
        names = (
            "ended at the provider",
            "not delivered to every endpoint",
            "repeats",
            "false results",
            "polls per task",
        )
        last = f", RSS {self.samples[-1].rss_mb:.0f} MB" if self.samples else ""
        kills = sum(member.kills for member in self.members)
        minutes = (time.monotonic() - self.begun_at) / 60
        say(f"{minutes:.1f} min, {kills} kills, " + ", ".join(f"{name} {seen[name]}" for name in names) + last)

    def figures(self, codes: Sequence[int]) -> dict[str, object]:
        recovery = sorted(self.recovery_s) or [0.0]
        return {
            "minutes": round((time.monotonic() - self.begun_at) / 60, 1),
            "daemons": self.plan.daemons,
            "kills": sum(member.kills for member in self.members),
            "daemons that ended by themselves": [code for member in self.members for code in member.own_ends],
            "exit codes at the end": list(codes),
            "tasks handed over": len(self.world.ends_at),
            "not confirmed": sum(len(ids) for _, ids in self.unconfirmed),
            "handed over by": dict(self.ways),
            **self.world.figures(),
            "start to first act": f"p50 {recovery[len(recovery) // 2]:.2f} s, most {recovery[-1]:.2f} s",
            **growth(self.samples),
            "rejected queue files": sum(1 for _ in self.plan.folder.glob("daemon-*/queue/rejected/*")),
            "errors in the log": logged_errors(self.plan.folder),
        }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def post(port: int, ids: Sequence[str]) -> bool:
    """Whether the daemon confirmed the tasks. If it does not run, it did not."""
    url, body = f"http://127.0.0.1:{port}/api/v1/tasks", json.dumps(list(ids)).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with suppress(OSError, ValueError, EOFError):
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return 200 <= int(answer.status) < 300
    return False


def add(settings: Path, ids: Sequence[str]) -> bool:
    """Whether `genbridge add` exited 0."""
    command = [sys.executable, "-m", "bridge", "add", "--config", str(settings), *ids]
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


BROKEN = (
    "not delivered to every endpoint",
    "not confirmed",
    "events with different bodies",
    "tasks with two event ids",
    "false results",
)


def is_broken(figures: dict[str, object]) -> bool:
    """Whether the run broke a promise."""
    return any(figures[name] for name in BROKEN) or bool(figures["daemons that ended by themselves"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--kills", type=int, default=0, help="kill the daemon so often, every two to three seconds")
    length.add_argument("--hours", type=float, default=0.0, help="run so long; kill it now and then in the first half")
    parser.add_argument("--rate", type=float, default=3.0, help="tasks handed over per second (3)")
    parser.add_argument("--postgres", metavar="DSN", help="an empty database, in place of SQLite")
    parser.add_argument("--daemons", type=int, default=1, help="how many share the work (1; more need --postgres)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is random (1)")
    parser.add_argument("--folder", type=Path, help="for stores, queues and logs; by default a temporary one")
    given = parser.parse_args()
    if given.daemons > 1 and not given.postgres:
        parser.error("several daemons need --postgres")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="genbridge-soak-") as temporary:
        plan = Plan(
            folder=given.folder or Path(temporary),
            kills=given.kills,
            seconds=given.hours * 3600,
            rate=given.rate,
            lasts_s=(2.0, 20.0) if given.kills else (10.0, 90.0),
            store=given.postgres or "state.db",
            daemons=given.daemons,
            seed=given.seed,
        )
        soak = Soak(plan)
        figures = soak.run()
    for name, value in figures.items():
        print(f"{name:<40} {value}")
    for untruth in soak.world.false[:20]:
        print(f"  {untruth}")
    return int(is_broken(figures))


if __name__ == "__main__":
    sys.exit(main())
