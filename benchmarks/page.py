"""What the status page costs in a store of 100,000 tasks that have finished in the last 20 days. Meanwhile the daemon
polls 200 tasks a second, and five a second finish.

The tables show the time until the first byte of each view, and its compressed size; how long after the provider's
answer a finish is in the stream that open pages follow; and how much memory and CPU 200 open pages add to the
daemon. In Chromium, they show when a view is drawn on a slow phone that opens it for the first time, and what an
open page costs. The memory of an idle daemon is measured with one open page, after each view was opened.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.browser import BEGINNING_S, CHROMIUM, chromium, drawn, kept_open
from benchmarks.daemon import ACCOUNT, daemon, fill, settle
from benchmarks.http import ALONE, free_port, idle_mb
from benchmarks.processes import Measured, Server, server, until
from benchmarks.tables import Report, Table, number, percentile

VIEWS: Final = (
    "/",
    "/tasks",
    "/tasks?phase=failed&phase=timed_out",
    "/tasks?q=e17",
    f"/task?account={ACCOUNT}&id={{task}}",
    "/deliveries",
    "/deliveries?state=accepted",
    "/health",
    "/api/v1/tasks?limit=100",
)
IN_BROWSER: Final = ("/", "/tasks", f"/task?account={ACCOUNT}&id={{task}}", "/deliveries?state=accepted", "/health")
LEFT_OPEN: Final = ("/", "/tasks", "/deliveries", "/health")
ASSETS: Final = ("css", "js")
EVERY_MS: Final = 200  # time between two finishes
STREAMS: Final = 200
DAYS: Final = 20
STREAMS_S: Final = 10.0
BUDGET_KB: Final = {"css": 7, "js": 8}


def run(quick: bool) -> Report:
    finished, running, finishing, rounds = (300, 100, 150, 2) if quick else (100_000, 1000, 1200, 100)
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch,
        server("provider") as provider,
        server("receiver") as receiver,
    ):
        folder, port = Path(scratch), free_port()
        settings = settle(
            folder,
            provider=provider.url,
            receiver=receiver.url,
            interval="5s",
            http={"listen": f"127.0.0.1:{port}"},
        )
        past_ms = int(time.time() * 1000) - 60_000
        fill(folder, [f"e{past_ms}-{place}" for place in range(finished)])
        with daemon(settings) as measured:
            until(lambda: bool(receiver.ask("count") >= finished), seconds=300)
            time.sleep(2)  # wait until the outcomes of the last deliveries are stored
        spread_over(folder / "state.db", DAYS * 86_400 / finished)
        with daemon(settings) as measured:
            fill(folder, [f"g{place * EVERY_MS}-{place}" for place in range(finishing)])
            fill(folder, [f"g{10**9}-{place}" for place in range(running)])
            time.sleep(2 if quick else 15)
            until_it_answers(f"127.0.0.1:{port}")
            provider.ask("open")
            streams, seconds = (20, 2.0) if quick else (STREAMS, STREAMS_S)
            site = _Site(f"http://127.0.0.1:{port}", f"e{past_ms}-7", rounds, streams=streams, seconds=seconds)
            found = [*asyncio.run(site.measure(measured, provider)), *site.in_browser(quick)]
    opened = idle_mb([*(view.format(task=ALONE) for view in VIEWS), "/api/v1/changes"])
    rows = [["without `http:`", f"{idle_mb():.0f} MB", "60 MB"], ["with one open page", f"{opened:.0f} MB", "85 MB"]]
    found.append(Table(head=("idle, one notification sent", "RSS", "at most"), rows=rows))
    notes = ["targets: p95 <= 100 ms; on screen <= 1 s; drawn <= 300 ms without layout shift; open <= 1 % of a core"]
    notes.append(f"browser: {'none is installed' if CHROMIUM is None else Path(CHROMIUM).name}")
    return Report(title="The status page", how=__doc__, tables=found, notes=notes)


def until_it_answers(address: str) -> None:
    """Wait until something listens at this `HOST:PORT`, for a minute at most."""
    host, _, port = address.partition(":")

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    until(answers, seconds=60)


def spread_over(store: Path, seconds: float) -> None:
    """Change the store as if each task had finished this long before the next."""
    with closing(sqlite3.connect(store)) as database:
        earlier = f"(SELECT max(watch_id) FROM watches) * {seconds} - watch_id * {seconds}"
        database.execute(f"UPDATE watches SET added_at = added_at - {earlier}, ended_at = ended_at - {earlier}")
        database.commit()


class _Site:
    def __init__(self, url: str, task_id: str, rounds: int, *, streams: int, seconds: float) -> None:
        self._url = url
        self._task_id = task_id
        self._views = [view.format(task=task_id) for view in VIEWS]
        self._rounds = rounds
        self._streams = streams
        self._seconds = seconds  # for the CPU without and with streams

    def in_browser(self, quick: bool) -> list[Table]:
        """The tables measured in Chromium, if it is installed."""
        if CHROMIUM is None:
            return []
        rounds, seconds, beginning_s = (1, 1.0, 1.0) if quick else (5, 20.0, BEGINNING_S)
        with chromium() as browser:
            views = [view.format(task=self._task_id) for view in IN_BROWSER]
            return [
                drawn(browser, self._url, views, rounds=rounds),
                kept_open(browser, self._url, LEFT_OPEN, seconds=seconds, beginning_s=beginning_s),
            ]

    async def measure(self, measured: Measured, provider: Server) -> Sequence[Table]:
        """Measure every table."""
        async with aiohttp.ClientSession(self._url, auto_decompress=False) as session:
            rows = [await self._view(session, view) for view in self._views]
            before_mb, before_cpu = measured.rss_mb(), await self._cpu_percent(measured)
            async with self._following() as seen_at:
                opened_at = time.monotonic()
                after_cpu = await self._cpu_percent(measured)
                after_mb = measured.rss_mb()
            told_at = provider.ask("ends")["told_at"]
            sizes = [await self._asset(session, suffix) for suffix in ASSETS]
        late_ms = [
            (at - told_at[task_id]) * 1000 for task_id, at in seen_at.items() if told_at.get(task_id, 0) > opened_at
        ]
        return [
            Table(head=("view", "first byte p50", "p95", "compressed"), rows=rows),
            Table(head=("file", "compressed", "at most"), rows=sizes),
            Table(
                head=("open pages", "found"),
                rows=[
                    ["from the provider's answer to the stream, p50", f"{number(percentile(late_ms, 0.5))} ms"],
                    ["the same, p95", f"{number(percentile(late_ms, 0.95))} ms"],
                    [f"RSS with {self._streams} open pages, more than with none", f"{after_mb - before_mb:.1f} MB"],
                    ["CPU of the daemon with none", f"{before_cpu:.1f} %"],
                    [f"CPU of the daemon with {self._streams}", f"{after_cpu:.1f} %"],
                ],
            ),
        ]

    async def _view(self, session: aiohttp.ClientSession, view: str) -> list[str]:
        took_ms, size = [], 0
        for _ in range(self._rounds):
            begun_at = time.monotonic()
            async with session.get(view, headers={"Accept-Encoding": "gzip"}) as answer:
                took_ms.append((time.monotonic() - begun_at) * 1000)
                size = len(await answer.read())
                answer.raise_for_status()
            await asyncio.sleep(0.05)
        times = [f"{number(percentile(took_ms, share))} ms" for share in (0.5, 0.95)]
        return [view.partition("?id")[0], *times, f"{size / 1024:.1f} KB"]

    async def _asset(self, session: aiohttp.ClientSession, suffix: str) -> list[str]:
        async with session.get("/", headers={"Accept-Encoding": "identity"}) as answer:
            html = (await answer.read()).decode()
        [path] = set(re.findall(rf'(?:href|src)="(/assets/[^" ]+\.{suffix})"', html))
        async with session.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
            return [f"page.{suffix}", f"{len(await answer.read()) / 1024:.1f} KB", f"{BUDGET_KB[suffix]} KB"]

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[dict[str, float]]:
        """Follow the stream of changes many times. Returns when the first follower saw each finish."""
        seen_at: dict[str, float] = {}
        async with aiohttp.ClientSession(self._url, connector=aiohttp.TCPConnector(limit=0)) as streams:
            tasks = [
                asyncio.create_task(_follow(streams, seen_at if first else {}))
                for first in (True, *[False] * (self._streams - 1))
            ]
            await asyncio.sleep(2)
            yield seen_at
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _cpu_percent(self, measured: Measured) -> float:
        """How many percent of a core the process takes in the next seconds."""
        before_s = measured.cpu_s()
        await asyncio.sleep(self._seconds)
        return (measured.cpu_s() - before_s) / self._seconds * 100


async def _follow(session: aiohttp.ClientSession, seen_at: dict[str, float]) -> None:
    async with session.get("/api/v1/changes", timeout=aiohttp.ClientTimeout(total=None)) as answer:
        async for line in answer.content:
            if not line.startswith(b"data: ") or b'"tasks"' not in line:
                continue
            frame: dict[str, Any] = json.loads(line[6:])
            for task in frame["tasks"]:
                if task["phase"] == "succeeded":
                    seen_at.setdefault(task["id"], time.monotonic())
