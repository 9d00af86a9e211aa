"""Compares genbridge with urlwatch and changedetection.io, which people also use to be notified of changes.

Each program in turn has the same simulated provider and the same receiver, and watches 50, 500 and 2,000 tasks.
After each task has been polled twice, tasks finish evenly over 20 s. Notifications count if they arrive within 15 s
of the last finish. A task counts as notified when the receiver has its result URL. Polls and CPU are those of these
35 s.

The second table shows four cases in which notifications can get lost. The receiver answers 503 to the first request
about a task. The receiver is down for 60 s, starting just before the tasks finish. The program is killed (kill -9)
and started again when it has seen half of 60 tasks finish together. Tasks had finished before they were added.
`benchmarks/sides` has one file per program with its setup.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Final

from benchmarks.plots import lines
from benchmarks.processes import Measured, Server, server, until
from benchmarks.sides import Side, version
from benchmarks.sides.changedetection import ChangeDetection
from benchmarks.sides.genbridge import Genbridge
from benchmarks.sides.urlwatch import Urlwatch
from benchmarks.tables import Report, Table, number, percentile

SIZES: Final = (50, 500, 2000)
ENDING_S: Final = 20.0
PATIENCE_S: Final = 15.0
DOWN_S: Final = 60.0
OURS: Final = "genbridge, every 3s"
SIDES: Final[dict[str, Callable[[Path, str, str], Side]]] = {
    OURS: lambda folder, provider, receiver: Genbridge(folder, provider, receiver, interval="3s"),
    "genbridge, own cadence": lambda folder, provider, receiver: Genbridge(folder, provider, receiver, interval=None),
    "urlwatch": Urlwatch,
    "changedetection.io": ChangeDetection,
}
WORK_HEAD: Final = (
    *("tasks", "side", "notified", "delay p50", "delay p99", "polls per task", "after it finished"),
    *("CPU per 1,000 polls", "CPU per task", "most RSS"),
)


class Stage:
    """One running side, with its provider and its receiver."""

    def __init__(self, name: str, folder: Path, provider: Server, receiver: Server) -> None:
        self.provider = provider
        self.receiver = receiver
        self.side = SIDES[name](folder, provider.url, receiver.url)
        self.running: Measured = self.side.start()

    def add_and_settle(self, task_ids: Sequence[str]) -> None:
        """Add these tasks; return when each has been polled twice."""
        self.side.add(task_ids)
        until(lambda: len(polls := self._polls()) == len(task_ids) and min(polls) >= 2, seconds=240, every_s=0.5)

    def _polls(self) -> list[int]:
        return list(self.provider.ask("ends")["polls"].values())

    def told(self) -> dict[str, float]:
        """When each task was first notified and accepted."""
        accepted = [(at, task_id) for at, task_id, _, is_accepted in self.receiver.ask("told") if is_accepted]
        return {task_id: at for at, task_id in sorted(accepted, reverse=True)}


@contextmanager
def stage(name: str, *receiver_words: str) -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd(), ignore_cleanup_errors=True) as scratch,
        server("provider") as provider,
        server("receiver", *receiver_words) as receiver,
    ):
        made = Stage(name, Path(scratch), provider, receiver)
        try:
            yield made
        finally:
            made.running.kill()


def run(quick: bool) -> Report:
    sizes, losses = ((5,), {}) if quick else (SIZES, LOSSES)
    names, notes = list(SIDES), []
    for package in ("urlwatch", "changedetection.io"):
        try:
            with tempfile.TemporaryDirectory() as scratch:
                SIDES[package](Path(scratch), "", "")
            notes.append(f"{package} {version(package)}")
        except CalledProcessError as error:
            names.remove(package)
            notes.append(f"skipped: {package} cannot be installed here: {error}")
    work = [_work(name, size) for size in sizes for name in names]
    lost = [
        [name, *(_said(name, what, case(name)) for what, case in losses.items())]
        for name in names
        if name != "genbridge, own cadence"
    ]
    delays = {name: [(float(size), p50) for size, side, p50, _ in work if side == name] for name in names}
    tables = [Table(head=WORK_HEAD, rows=[row for *_, row in work])]
    if losses:
        tables.append(Table(head=("notified, of how many", *losses), rows=lost))
    plot = lines(delays, x="tasks", y="s from end to webhook, p50")
    return Report(title="Compared with other programs", how=__doc__, tables=tables, notes=notes, plots={"peers": plot})


def _work(name: str, size: int) -> tuple[int, str, float, list[str]]:
    """For each number of tasks and side: the median delay, and the row of the table."""
    with stage(name) as on:
        offsets = {f"g{int(place * ENDING_S * 1000 / size)}-{place}": place * ENDING_S / size for place in range(size)}
        on.add_and_settle(list(offsets))
        before, requests = on.provider.ask("ends")["polls"], on.provider.ask("counts")["requests"]
        cpu_s, opened_at = on.running.cpu_s(), on.provider.ask("open")
        rss_mb = 0.0
        while time.monotonic() < opened_at + ENDING_S + PATIENCE_S:
            rss_mb = max(rss_mb, on.running.rss_mb())
            time.sleep(0.2)
        cpu_s, requests = on.running.cpu_s() - cpu_s, on.provider.ask("counts")["requests"] - requests
        ends, told = on.provider.ask("ends"), on.told()
    delays = [told.get(task_id, math.inf) - opened_at - offset for task_id, offset in offsets.items()]
    after = sum(ends["after"].values())
    polls = sum(ends["polls"].values()) - sum(before.values()) - after
    row = [
        *(f"{size:,}", name, f"{len(told):,}"),
        *(_seconds(percentile(delays, share)) for share in (0.5, 0.99)),
        *(number(polls / size), number(after / size)),
        *(f"{number(cpu_s / requests * 1000)} s", f"{number(cpu_s / size * 1000)} ms", f"{number(rss_mb)} MB"),
    ]
    _said(name, f"{size} tasks", row[2])
    return size, name, percentile(delays, 0.5), row


def _said(name: str, what: str, told: str) -> str:
    """Print what was measured so far, because all of it takes half an hour."""
    print(f"{name}, {what}: notified {told}", file=sys.stderr, flush=True)
    return told


def _seconds(delay_s: float) -> str:
    return f"{number(delay_s)} s" if math.isfinite(delay_s) else "not notified"


def refused_once(name: str) -> str:
    with stage(name, "--refuse-first") as on:
        ids = [f"g{place * 100}-{place}" for place in range(20)]
        on.add_and_settle(ids)
        on.provider.ask("open")
        until(lambda: len(on.told()) == len(ids), seconds=45)
        return f"{len(on.told())} of {len(ids)}"


def down(name: str) -> str:
    with stage(name) as on:
        ids = [f"g{place * 100}-{place}" for place in range(20)]
        on.add_and_settle(ids)
        port = on.receiver.port
        on.receiver.stop()
        on.provider.ask("open")
        time.sleep(DOWN_S)
        with server("receiver", "--port", str(port)) as on.receiver:
            until(lambda: len(on.told()) == len(ids), seconds=100)
            return f"{len(on.told())} of {len(ids)}"


def killed(name: str) -> str:
    with stage(name) as on:
        ids = [f"g0-{place}" for place in range(60)]
        on.add_and_settle(ids)
        on.provider.ask("open")
        until(lambda: bool(on.provider.ask("counts")["ended"] >= len(ids) / 2), seconds=30, every_s=0.002)
        on.running.kill()
        at_kill = len(on.told())
        on.running = on.side.start()
        until(lambda: len(on.told()) == len(ids), seconds=30)
        return f"{len(on.told())} of {len(ids)} ({at_kill} before the kill{_doubled(on.receiver)})"


def _doubled(receiver: Any) -> str:
    """How many tasks were notified under more than one event id."""
    events: dict[str, set[str]] = {}
    for _, task_id, event_id, _ in receiver.ask("told"):
        events.setdefault(task_id, set()).add(event_id)
    doubled = sum(len(ids) > 1 for ids in events.values())
    return f", {doubled} under two ids" if doubled else ""


def over_before(name: str) -> str:
    with stage(name) as on:
        ids = [f"e1700000000000-{place}" for place in range(20)]
        on.side.add(ids)
        until(lambda: len(on.told()) == len(ids), seconds=20)
        return f"{len(on.told())} of {len(ids)}"


LOSSES: Final[dict[str, Callable[[str], str]]] = {
    "503 once": refused_once,
    "receiver down 60 s": down,
    "kill -9 in a burst": killed,
    "finished before it was added": over_before,
}
