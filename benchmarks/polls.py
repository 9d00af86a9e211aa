"""Polls per task: no clock and no network, but the schedules themselves on durations drawn from fixed seeds, beside
fixed intervals, backoff and the best there can be (`benchmarks/cadence`, also run by `python -m benchmarks.cadence`).
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from benchmarks.processes import said
from benchmarks.tables import Report

SIMULATOR = "benchmarks.cadence"


def run(quick: bool) -> Report:
    """What the simulator prints; it is quick enough to have one size."""
    if find_spec(SIMULATOR) is None:
        return Report(title="Polls per task", how=__doc__, tables=[], notes=["skipped: the simulator is not there"])
    text, _ = said([sys.executable, "-m", SIMULATOR])
    return Report(title="Polls per task", how=f"{__doc__}\n\n```\n{text.strip()}\n```", tables=[])
