"""What a poll costs: the CPU of one complete poll (schedule, HTTP, parse, decide, note), compared with typical
scripts.

genbridge is the real daemon on a SQLite store. More watches are due than it can poll, so 64 requests are always in
flight. The others have 64 in flight, too: a loop over a default `httpx.AsyncClient` that parses and checks the
answer, an aiohttp loop that only reads it, and `wrk` as the lower bound. The programs take turns, each in a new
process; start-up is not counted.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.daemon import daemon, fill, settle
from benchmarks.processes import Server, said, server, until
from benchmarks.provider import PATH
from benchmarks.tables import Report, Table, ratio, spread

IN_FLIGHT: Final = 64
WATCHES: Final = 1000
FEW: Final = 100  # for a quick run
TARGETS: Final = {"httpx loop": ">= 18x", "aiohttp loop": "genbridge <= 0.9x of it"}


def run(quick: bool) -> Report:
    seconds, rounds = (0.2, 1) if quick else (3.0, 5)
    found: dict[str, list[float]] = {"genbridge": [], "httpx loop": [], "aiohttp loop": [], "wrk": []}
    with server("provider") as provider, tempfile.TemporaryDirectory() as scratch:
        for place in range(rounds):
            folder = Path(scratch) / str(place)
            folder.mkdir()
            ours = of_genbridge(
                provider, folder, in_flight=IN_FLIGHT, seconds=seconds, watches=FEW if quick else WATCHES
            )
            found["genbridge"].append(ours)
            for way in ("httpx", "aiohttp"):
                found[f"{way} loop"] += of_loop(way, provider, in_flight=IN_FLIGHT, seconds=seconds)
            found["wrk"] += of_wrk(provider, in_flight=IN_FLIGHT, seconds=seconds)
    costs_of_ours = found["genbridge"]
    rows = [
        [
            side,
            spread(costs, unit="us"),
            ratio(costs, costs_of_ours) if side != "genbridge" else "1",
            TARGETS.get(side, ""),
        ]
        for side, costs in found.items()
    ]
    head = ("side", f"CPU per poll, {IN_FLIGHT} in flight", "of genbridge's", "target")
    notes = [f"skipped: {side} is not installed" for side, costs in found.items() if not costs]
    return Report(title="Cost of a poll", how=__doc__, tables=[Table(head=head, rows=rows)], notes=notes)


def of_genbridge(provider: Server, folder: Path, *, in_flight: int, seconds: float, watches: int = WATCHES) -> float:
    """Microseconds of CPU per poll of a daemon that is always busy."""
    settings = settle(folder, provider=provider.url, concurrency=in_flight, interval="50ms")
    fill(folder, (f"r{number}" for number in range(watches)))
    begun = provider.ask("counts")["requests"] + watches
    with daemon(settings) as running:
        until(lambda: bool(provider.ask("counts")["requests"] > begun), seconds=30)
        time.sleep(min(0.5, seconds))
        polls_before, cpu_before = provider.ask("counts")["requests"], running.cpu_s()
        time.sleep(seconds)
        polls, cpu_s = provider.ask("counts")["requests"] - polls_before, running.cpu_s() - cpu_before
    return float(cpu_s / polls * 1e6)


def of_loop(way: str, provider: Server, *, in_flight: int, seconds: float) -> list[float]:
    """The same of a plain loop."""
    words = [way, f"{provider.url}{PATH}", str(in_flight), str(seconds), str(WATCHES)]
    told = json.loads(said([sys.executable, "-m", "benchmarks.loops", *words])[0])
    return [told["cpu_s"] / told["polls"] * 1e6]


def of_wrk(provider: Server, *, in_flight: int, seconds: float) -> list[float]:
    """The same of wrk (Debian package `wrk`); nothing when it is absent."""
    if shutil.which("wrk") is None:
        return []
    length = f"-d{max(1, round(seconds))}s"
    told, cpu_s = said(["wrk", "-t1", f"-c{in_flight}", length, f"{provider.url}{PATH}r1"])
    requests = re.search(r"(\d+) requests in", told)
    assert requests is not None, told
    return [cpu_s / int(requests[1]) * 1e6]
