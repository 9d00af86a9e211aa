"""The memory, CPU time and files of a daemon's process over time, and the errors that it logs."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WARM_S = 60.0  # before this age, a process still grows to its normal size


@dataclass(frozen=True)
class Sample:
    """The memory, CPU time and open files of one daemon's process at one instant."""

    at: float
    pid: int
    age_s: float
    cpu_s: float
    rss_mb: float
    files: int
    store_mb: float


def sample(pid: int, started_at: float, place: Path) -> Sample:
    """Measure this process now. `place` is the folder of its store. OSError if the process has ended."""
    folder = Path(f"/proc/{pid}")
    stat = (folder / "stat").read_text().rpartition(")")[2].split()
    rss = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return Sample(
        at=time.monotonic(),
        pid=pid,
        age_s=time.monotonic() - started_at,
        cpu_s=(int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
        rss_mb=int(rss.split()[1]) / 1024,
        files=len(list((folder / "fd").iterdir())),
        store_mb=sum(path.stat().st_size for path in place.glob("state.db*")) / 2**20,
    )


def growth(samples: Sequence[Sample]) -> dict[str, object]:
    """RSS and open files of the process that lived longest, at the beginning, the middle and the end of its life."""
    if not samples:
        return {}
    pid = max(samples, key=lambda one: one.age_s).pid
    life = [one for one in samples if one.pid == pid]
    warm = [one for one in life if one.age_s >= WARM_S] or life
    marks = [warm[0], warm[len(warm) // 2], warm[-1]]
    return {
        "longest life": f"{life[-1].age_s / 60:.1f} min, {100 * life[-1].cpu_s / life[-1].age_s:.1f} % of a core",
        "RSS": " / ".join(f"{one.rss_mb:.1f}" for one in marks) + " MB",
        "open files": " / ".join(str(one.files) for one in marks),
        "most open files": max(one.files for one in samples),
        "store": " / ".join(f"{one.store_mb:.1f}" for one in marks) + " MB",
    }


def logged_errors(folder: Path) -> dict[str, int]:
    """How often each event was logged as an error in the logs of the daemons under this folder."""
    found: Counter[str] = Counter()
    for log in folder.glob("daemon-*/daemon.log"):
        with log.open(errors="replace") as lines:
            for line in lines:
                if "Traceback" in line:
                    found["Traceback"] += 1
                elif re.search(r'"level": ?"(error|critical)"', line):
                    event = re.search(r'"event": ?"([^"]*)"', line)
                    found[event[1] if event else line[:60]] += 1
    return dict(found)
