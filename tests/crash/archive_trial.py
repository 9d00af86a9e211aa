"""Copies under every fault at once: `python -m tests.crash.archive_trial --gib 10 --results 40 --folder /tmp/trial`.

Everything is on 127.0.0.1. The daemon is killed every few seconds; its disk fills up in between. The exit code is 1 if
a copy is lost, incomplete or made twice. If run as root, the archive is on a disk of its own, which can be full.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.trial_servers import HONEST, NEVER, CuttingProxy, Film, Origin, in_thread
from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import Answer, World, kling, running_world

READY_S = 60.0
SAMPLE_S = 0.25
DISK_FULL_S = 8.0
BROKEN = (  # figures that must be 0
    *("lost", "half files", "wrong bytes", "under two names", "copies of what is no result", "not reported"),
    *("two ids for one event", "over the quota", "newer ones deleted before older ones", "copies without a record"),
)
ROUTES = [{"topics": ["task_succeeded", "task_archived"], "endpoints": ["hook"]}]


@dataclass(frozen=True, kw_only=True)
class Plan:
    folder: Path
    total_bytes: int
    results: int
    least_kills: int
    kill_after_s: tuple[float, float]  # seconds after it was ready
    full_every_s: float = 0.0  # 0: the disk is never full
    patience_s: float = 7200.0
    stall_s: float = 35.0  # longer than the time-out of genbridge
    seed: int = 1


@dataclass
class Trial:
    """One run. `run` returns the figures."""

    plan: Plan
    luck: random.Random = field(init=False)
    films: dict[str, Film] = field(init=False)
    archive: Path = field(init=False)
    daemon: DaemonProcess | None = None
    peak_kb: int = 0
    kills: int = 0
    times_full: int = 0
    half: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.luck = random.Random(self.plan.seed)
        self.films = {film.name: film for film in _films(self.plan)}
        self.archive = self.plan.folder / "disk" / "archive"

    def run(self) -> dict[str, object]:
        begun_at = time.monotonic()
        origin = Origin(self.films)
        world = World()
        with running_world(world), disk(self.plan) as has_disk, in_thread(origin.serve) as [origin_port]:
            proxy = CuttingProxy(origin_port, random.Random(self.plan.seed), self._largest // 2, self.plan.stall_s)
            with in_thread(proxy.serve) as [port]:
                settings = self._settings(world, port)
                threads = [threading.Thread(target=self._sample)]
                if has_disk and self.plan.full_every_s:
                    threads.append(threading.Thread(target=self._fill_disk))
                for thread in threads:
                    thread.start()
                try:
                    self._work(settings, world)
                finally:
                    self.ended.set()
                    if self.daemon is not None:
                        self.daemon.kill()
                    for thread in threads:
                        thread.join()
                figures = self._figures(world)
                figures["bytes sent by the servers"] = origin.sent_bytes
                figures["connections cut, stalled"] = [proxy.events["cut"], proxy.events["stall"]]
                figures["seconds"] = round(time.monotonic() - begun_at)
                figures |= self._under_quota(settings)
        return figures

    @property
    def _largest(self) -> int:
        return max(film.size for film in self.films.values() if film.manner in HONEST)

    def _settings(self, world: World, port: int, **archive: object) -> Path:
        def answer(task_id: str) -> Answer:
            return 200, json.dumps(kling(task_id, "succeed", urls=[f"http://127.0.0.1:{port}/{task_id}"])).encode(), {}

        world.fault = answer
        block = {"to": str(self.archive), "max_size": self._largest + 8192, **archive}
        return world.settings(self.plan.folder, archive=block, routes=ROUTES)

    def _work(self, settings: Path, world: World) -> None:
        """Kill and restart the daemon until every copy is made."""
        assert completed("add", *self.films, "--config", settings).returncode == 0
        deadline = time.monotonic() + self.plan.patience_s
        while not self._is_done(world) or self.kills < self.plan.least_kills:
            assert time.monotonic() < deadline, f"not within {self.plan.patience_s:.0f} s: {self._missing(world)}"
            ready = _count(settings, "daemon.ready")
            self.daemon = DaemonProcess(settings)
            until = time.monotonic() + READY_S
            while _count(settings, "daemon.ready") == ready and time.monotonic() < until:
                time.sleep(0.05)
            self.ended.wait(self.luck.uniform(*self.plan.kill_after_s))
            self.daemon.kill()
            self.kills += 1
            self._look_for_halves()
        self.daemon = DaemonProcess(settings)
        time.sleep(2.0)

    def _is_done(self, world: World) -> bool:
        return not self._missing(world)

    def _missing(self, world: World) -> set[str]:
        told = {one.data["task_id"] for one in list(world.received) if one.topic == "task_archived"}
        return {film.name for film in self.films.values() if film.manner in HONEST} - told

    def _look_for_halves(self) -> None:
        for path in self._copies():
            film = self.films[path.name.rpartition("-")[0]]
            if path.stat().st_size != film.size:
                self.half.add(path.name)

    def _copies(self) -> list[Path]:
        """The files under final names, without records."""
        found = [path for path in self.archive.rglob("*") if path.is_file() and ".partial" not in path.parts]
        return [path for path in found if path.suffix != ".json"]

    def _sample(self) -> None:
        while not self.ended.wait(SAMPLE_S):
            daemon = self.daemon
            with suppress(OSError, IndexError, ValueError):
                if daemon is not None and daemon.process.poll() is None:
                    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
                    self.peak_kb = max(self.peak_kb, int(status.partition("VmHWM:")[2].split()[0]))

    def _fill_disk(self) -> None:
        filler = self.plan.folder / "disk" / "filler"
        while not self.ended.wait(self.plan.full_every_s):
            free = shutil.disk_usage(filler.parent).free
            subprocess.run(["fallocate", "-l", str(max(1, free - 4096)), str(filler)], capture_output=True, check=False)
            with suppress(OSError), filler.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            self.times_full += 1
            self.ended.wait(DISK_FULL_S)
            filler.unlink(missing_ok=True)

    def _figures(self, world: World) -> dict[str, object]:
        copies, wrong = self._copies(), list[str]()
        by_film: Counter[str] = Counter()
        for path in copies:
            film = self.films[path.name.rpartition("-")[0]]
            by_film[film.name] += 1
            if _sha256(path) != film.sha256:
                wrong.append(path.name)
        honest = [film for film in self.films.values() if film.manner in HONEST]
        ids: dict[tuple[str, str], set[str]] = {}
        for one in world.received:
            ids.setdefault((one.data["task_id"], one.topic), set()).add(one.event_id)
        return {
            "results": len(honest),
            "bytes": sum(film.size for film in honest),
            "kills": self.kills,
            "times the disk was full": self.times_full,
            "lost": len(honest) - len({film.name for film in honest} & set(by_film)),
            "half files": len(self.half),
            "wrong bytes": len(wrong),
            "under two names": sum(1 for count in by_film.values() if count > 1),
            "copies of what is no result": sum(
                by_film[film.name] for film in self.films.values() if film.manner in NEVER
            ),
            "not reported": len(self._missing(world)),
            "two ids for one event": sum(1 for each in ids.values() if len(each) > 1),
            "unfinished files left": len(list((self.archive / ".partial").glob("*"))),
            "memory MB": round(self.peak_kb / 1024),
        }

    def _under_quota(self, settings: Path) -> dict[str, object]:
        """Start once more with half the room. The copies of whole tasks must be deleted, the oldest first."""
        quota = self.plan.total_bytes // 2
        before = {path: _changed_at(path) for path in self._copies()}
        told = json.loads(settings.read_text())
        told["archive"]["quota"] = quota
        settings.write_text(json.dumps(told))
        self.daemon = DaemonProcess(settings)
        deadline = time.monotonic() + 120
        while _total(self.archive) > quota and time.monotonic() < deadline:
            time.sleep(0.2)
        self.daemon.kill()
        left = self._copies()
        newest_gone = max((at for path, at in before.items() if path not in left), default=0.0)
        oldest_left = min((before[path] for path in left if path in before), default=0.0)
        records = {path.name.removesuffix(".json") for path in self.archive.rglob("*.json")}
        return {
            "over the quota": max(0, _total(self.archive) - quota),
            "copies left by the quota": len(left),
            "newer ones deleted before older ones": int(newest_gone > oldest_left),
            "copies without a record": sum(1 for path in left if path.name.rpartition("-")[0] not in records),
        }


def _changed_at(copy: Path) -> float:
    """When a file of its task last changed. The record may be younger than the copy, after a kill between them."""
    record = copy.with_name(f"{copy.name.rpartition('-')[0]}.json")
    return max(each.stat().st_mtime for each in (copy, record) if each.exists())


def _films(plan: Plan) -> Iterator[Film]:
    """The results. All have the same size, except that those that cannot be resumed are small."""
    luck = random.Random(plan.seed)
    manners = [HONEST[number % len(HONEST)] for number in range(plan.results)]
    small = max(1, plan.total_bytes // plan.results // 16)
    many = sum(1 for manner in manners if manner != "unresumable")
    large = (plan.total_bytes - small * (plan.results - many)) // many
    for number, manner in enumerate(manners):
        size = small if manner == "unresumable" else large
        yield Film(f"film{number:03}", manner, size, luck.randrange(1 << 30))
    for number, manner in enumerate(NEVER):
        yield Film(f"never{number}", manner, 4 * large, luck.randrange(1 << 30))


@contextmanager
def disk(plan: Plan) -> Iterator[bool]:
    """A disk of its own for the archive, with little more room than it needs. Yields False, and uses a plain folder, if
    this user may not mount a disk."""
    place = plan.folder / "disk"
    place.mkdir(parents=True, exist_ok=True)
    image = plan.folder / "disk.img"
    is_mounted = False
    if plan.full_every_s:
        with image.open("wb") as file:
            file.truncate(int(plan.total_bytes * 1.5) + (64 << 20))
        made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=False, capture_output=True)
        mounted = subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=False, capture_output=True)
        is_mounted = made.returncode == 0 and mounted.returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
        image.unlink(missing_ok=True)


def is_broken(figures: dict[str, object]) -> bool:
    """Whether a promise was broken."""
    return any(figures[name] for name in BROKEN)


def _count(settings: Path, event: str) -> int:
    log = settings.parent / "daemon.log"
    return log.read_text().count(event) if log.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _total(archive: Path) -> int:
    found = (path for path in archive.rglob("*") if path.is_file() and ".partial" not in path.parts)
    return sum(path.stat().st_size for path in found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.archive_trial", description=__doc__)
    parser.add_argument("--gib", type=float, default=10.0, help="of all results together")
    parser.add_argument("--results", type=int, default=40)
    parser.add_argument("--folder", type=Path, required=True, help="for everything; twice the size must be free")
    parser.add_argument("--kill-after", type=float, nargs=2, default=(2.0, 8.0), metavar="SECONDS")
    parser.add_argument("--full-every", type=float, default=60.0, metavar="SECONDS", help="0: the disk is never full")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    plan = Plan(
        folder=given.folder,
        total_bytes=int(given.gib * (1 << 30)),
        results=given.results,
        least_kills=20,
        kill_after_s=tuple(given.kill_after),
        full_every_s=given.full_every,
        seed=given.seed,
    )
    given.folder.mkdir(parents=True, exist_ok=True)
    figures = Trial(plan).run()
    print("\n".join(f"{name:<40} {value}" for name, value in figures.items()))
    sys.exit(is_broken(figures))


if __name__ == "__main__":
    main()
