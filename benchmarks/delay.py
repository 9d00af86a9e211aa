"""The time from the answer that shows a finished task to the webhook's arrival, at a light load (20 finished tasks and
200 polls a second), compared with one sync of this disk and one POST of a bare aiohttp client. The event is on disk
before the first byte of the webhook is sent, so nothing can be faster than a sync."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.daemon import daemon, fill, settle
from benchmarks.plots import distribution
from benchmarks.processes import server, until
from benchmarks.tables import Report, Table, number, percentile

EVERY_MS: Final = 50
PAGE: Final = b"\0" * 4096


def run(quick: bool) -> Report:
    tasks = 20 if quick else 400
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch,
        server("provider") as provider,
        server("receiver") as receiver,
    ):
        folder = Path(scratch)
        settings = settle(
            folder, provider=provider.url, receiver=receiver.url, interval="200ms" if quick else "2s", rate=250
        )
        fill(folder, (f"g{place * EVERY_MS}-{place}" for place in range(tasks)))
        with daemon(settings):
            until(lambda: bool(provider.ask("counts")["requests"] >= 2 * tasks), seconds=30)
            provider.ask("open")
            until(lambda: bool(receiver.ask("count") >= tasks), seconds=tasks * EVERY_MS / 1000 + 30)
            ended, told = provider.ask("ends")["told_at"], receiver.ask("told")
        synced = syncs(folder, 20 if quick else 300)
        posted = asyncio.run(posts(f"{receiver.url}/hook", 20 if quick else 300))
    first = {task_id: at for at, task_id, _, _ in reversed(told)}
    delays = [(first[task_id] - at) * 1000 for task_id, at in ended.items() if task_id in first]
    rows = [
        _row("finish seen to webhook", delays),
        _row("one sync of the disk (4 KB)", synced),
        _row("one bare POST", posted),
    ]
    after_sync_ms = percentile(delays, 0.5) - percentile(synced, 0.5)
    notes = [
        f"notified {len(first)} of {tasks}, {len(told) - len(first)} more than once",
        f"p50 is a sync + {number(after_sync_ms)} ms",
        f"that is a sync + {number(after_sync_ms / percentile(posted, 0.5))} bare POSTs (target: <= 3)",
    ]
    plot = distribution({"finish seen to webhook": delays, "one sync": synced, "one bare POST": posted}, x="ms")
    head = ("what", "p50", "p90", "p99", "most")
    table = Table(head=head, rows=rows)
    return Report(
        title="From the finished task to the webhook", how=__doc__, tables=[table], notes=notes, plots={"delay": plot}
    )


def syncs(folder: Path, times: int) -> list[float]:
    """Milliseconds of `fdatasync` after appending a page, 20 ms apart."""
    found = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(PAGE)
            begun_at = time.monotonic()
            os.fdatasync(file.fileno())
            found.append((time.monotonic() - begun_at) * 1000)
            time.sleep(0.02)
    return found


async def posts(url: str, times: int) -> list[float]:
    """Milliseconds from a POST to its answer, on one connection, 20 ms apart."""
    found = []
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            begun_at = time.monotonic()
            async with session.post(url, data=b"{}") as answer:
                await answer.read()
            found.append((time.monotonic() - begun_at) * 1000)
            await asyncio.sleep(0.02)
    return found


def _row(what: str, values: list[float]) -> list[str]:
    return [what, *(f"{number(percentile(values, share))} ms" for share in (0.5, 0.9, 0.99, 1.0))]
