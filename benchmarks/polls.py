"""Polls per task, without clock and network: only the schedules, on random durations from fixed seeds, compared with
fixed intervals, backoff and the optimum (`benchmarks/cadence`, also run by `python -m benchmarks.cadence`)."""

from __future__ import annotations

import sys

from benchmarks.processes import said
from benchmarks.tables import Report


def run(quick: bool) -> Report:
    """What the simulator prints, with its headings one level lower."""
    text, _ = said([sys.executable, "-m", "benchmarks.cadence", *(["--quick"] if quick else [])])
    below = "\n".join(f"#{line}" if line.startswith("#") else line for line in text.strip().splitlines())
    return Report(title="Polls per task", how=f"{__doc__.strip()}\n\n{below}", tables=[])
