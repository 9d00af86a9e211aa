"""How many connections 1,000 polls open, with 64 in flight and a provider that answers after 100 ms: in the first
1,000 polls, and per 1,000 after that. httpx's default client keeps 20 connections, so it opens one for nearly every
poll.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.daemon import fill, settle, started
from benchmarks.poll import IN_FLIGHT, WATCHES
from benchmarks.processes import Measured, Server, server, start, until
from benchmarks.provider import PATH
from benchmarks.tables import Report, Table, number

DELAY_MS: Final = 100


def run(quick: bool) -> Report:
    first, seconds = (200, 0.3) if quick else (1000, 10.0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill(folder, (f"r{place}" for place in range(WATCHES)))
        rows = [["genbridge", *_of(partial(_daemon_of, folder), first, seconds)]]
    rows += [[f"{way} loop", *_of(partial(_loop_of, way), first, seconds)] for way in ("httpx", "aiohttp")]
    head = ("side", f"opened in the first {first} polls", "per 1,000 polls afterwards", "polls")
    notes = ["target: 64 first, then 0"]
    return Report(title="Connections opened", how=__doc__, tables=[Table(head=head, rows=rows)], notes=notes)


def _of(begin: Callable[[Server], Measured], most: int, seconds: float) -> list[str]:
    with server("provider", "--delay-ms", str(DELAY_MS)) as provider:
        running = begin(provider)
        try:
            until(lambda: bool(provider.ask("counts")["requests"] >= most), seconds=60, every_s=0.01)
            first = provider.ask("counts")
            time.sleep(seconds)
            until(lambda: provider.ask("counts")["requests"] > first["requests"], seconds=60, every_s=0.01)
            then = provider.ask("counts")
        finally:
            running.kill()
    polls = then["requests"] - first["requests"]
    later = (then["connections"] - first["connections"]) / polls * 1000
    return [str(first["connections"]), number(later), number(polls)]


def _daemon_of(folder: Path, provider: Server) -> Measured:
    return started(settle(folder, provider=provider.url, concurrency=IN_FLIGHT))


def _loop_of(way: str, provider: Server) -> Measured:
    words = [way, f"{provider.url}{PATH}", str(IN_FLIGHT), "600", str(WATCHES)]
    return Measured(start("benchmarks.loops", *words))
