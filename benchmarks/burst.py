"""How many results a second genbridge delivers when 5,000 tasks finish at the same instant. Every task is polled,
committed, delivered to a receiver on this machine, and settled. Provider, receiver and daemon share two cores.

A bare script does the same four steps with aiohttp and sqlite3, a thousand tasks in a commit. The two take turns.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.daemon import daemon, fill, settle
from benchmarks.processes import said, server, until
from benchmarks.tables import Report, Table, ratio, spread

CPU_US: Final = 3  # index of the CPU per task in the figures of `_of`


def run(quick: bool) -> Report:
    tasks, rounds = (50, 1) if quick else (5000, 3)
    found, bare_us = [], []
    for _ in range(rounds):
        found.append(_of(tasks, "200ms" if quick else "2s"))
        bare_us.append(_of_bare(tasks))
    names = (
        ("deliveries per second, first to last webhook", "/s"),
        ("from the instant they finished to the last webhook", "s"),
        ("... to the poll that saw the last one finish", "s"),
        ("CPU per task, polls of the burst included", "us"),
        ("notified", ""),
        ("notified more than once", ""),
    )
    rows = [
        [name, spread(values, unit=unit)] for (name, unit), values in zip(names, zip(*found, strict=True), strict=True)
    ]
    ours_us = [values[CPU_US] for values in found]
    rows.append(["CPU per task of the bare script", spread(bare_us, unit="us")])
    rows.append(["genbridge's CPU, of the bare script's", ratio(ours_us, bare_us)])
    notes = ["targets: >= 3,000 a second; at most 1.5 of the bare script's CPU"]
    table = Table(head=("what", f"{tasks:,} finish at once"), rows=rows)
    return Report(title="Burst", how=__doc__, tables=[table], notes=notes)


def _of(tasks: int, interval: str) -> tuple[float, float, float, float, float, float]:
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch,
        server("provider") as provider,
        server("receiver") as receiver,
    ):
        folder = Path(scratch)
        settings = settle(folder, provider=provider.url, receiver=receiver.url, interval=interval)
        fill(folder, (f"g0-{place}" for place in range(tasks)))
        with daemon(settings) as running:
            until(lambda: bool(provider.ask("counts")["requests"] >= 2 * tasks), seconds=60)
            cpu_s = running.cpu_s()
            opened_at = provider.ask("open")
            until(lambda: bool(receiver.ask("count") >= tasks), seconds=60, every_s=0.2)
            cpu_s = running.cpu_s() - cpu_s
            time.sleep(1.0)
            told, ended = receiver.ask("told"), provider.ask("ends")["told_at"]
    told_at = sorted(at for at, *_ in told)
    distinct = len({task_id for _, task_id, *_ in told})
    return (
        (len(told_at) - 1) / (told_at[-1] - told_at[0]),
        told_at[-1] - opened_at,
        max(ended.values()) - opened_at,
        cpu_s / distinct * 1e6,
        float(distinct),
        float(len(told_at) - distinct),
    )


def _of_bare(tasks: int) -> float:
    """Microseconds of CPU that the bare script takes per task."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch, server("provider") as provider:
        with server("receiver") as receiver:
            provider.ask("open")
            words = ["-m", "benchmarks.bare", provider.url, receiver.url, scratch, str(tasks)]
            told, _ = said([sys.executable, *words])
    return float(json.loads(told)["cpu_s"] / tasks * 1e6)
