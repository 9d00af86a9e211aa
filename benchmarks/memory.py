"""Memory of a watch, and time of a start, measured with the real daemon on a store with this many running tasks.

Memory is RSS after all watches have been loaded (rate 1/s), and after each has been polled once (rate 10,000/s),
minus the RSS of a daemon with one watch. CPU to the first poll is the CPU time of the process from its start to that
poll.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.daemon import daemon, fill, settle
from benchmarks.processes import Measured, server, until
from benchmarks.tables import Report, Table, number

SIZES: Final = (1, 100_000, 1_000_000)


def run(quick: bool) -> Report:
    rows, alone = [], (0.0, 0.0)
    for size in (1, 500) if quick else SIZES:
        cpu_s, read_mb, polled_mb = _of(size)
        if size == 1:
            alone = read_mb, polled_mb
        kb = [(mb - one) * 1024 / size for mb, one in zip((read_mb, polled_mb), alone, strict=True)]
        read_kb, polled_kb = (f"{number(each)} KB" if size > 1 else "-" for each in kb)
        mb = f"{number(read_mb)} MB", f"{number(polled_mb)} MB"
        rows.append([f"{size:,}", f"{number(cpu_s)} s", mb[0], read_kb, mb[1], polled_kb])
    head = ("watches", "CPU to first poll", "RSS when loaded", "per watch", "RSS when polled once", "per watch ")
    notes = ["targets: <= 0.5 KB per watch, 1,000,000 watches <= 500 MB; start with 100,000 <= 1 s CPU"]
    idle = [["one webhook endpoint", f"{number(_idle(apprise=False))} MB", "<= 60 MB"]]
    idle.append(["one Apprise endpoint", f"{number(_idle(apprise=True))} MB", "<= 90 MB"])
    tables = [Table(head=head, rows=rows), Table(head=("idle, one notification sent", "RSS", "target"), rows=idle)]
    return Report(title="Memory and start", how=__doc__, tables=tables, notes=notes)


def _idle(*, apprise: bool) -> float:
    """RSS of a daemon that has delivered the end of one task."""
    with tempfile.TemporaryDirectory() as scratch, server("provider") as provider, server("receiver") as receiver:
        chat = {"chat": {"type": "apprise", "urls": [receiver.url.replace("http:", "json:")]}}
        more: dict[str, Any] = {"endpoints": chat} if apprise else {}
        settings = settle(Path(scratch), provider=provider.url, receiver=receiver.url, **more)
        fill(Path(scratch), ["e1700000000000-1"])
        with daemon(settings) as running:
            if not until(lambda: bool(receiver.ask("count")), seconds=30):
                raise RuntimeError("nothing was told")
            time.sleep(0.5)
            return running.rss_mb()


def _of(size: int) -> tuple[float, float, float]:
    """CPU to the first poll; RSS when all watches are loaded, and when each has been polled once."""
    with tempfile.TemporaryDirectory() as scratch, server("provider") as provider:
        folder = Path(scratch)
        fill(folder, (f"r{place}" for place in range(size)))
        first = threading.Thread(target=provider.ask, args=("first",))
        first.start()
        time.sleep(0.2)
        with daemon(settle(folder, provider=provider.url, interval="1h", rate=1)) as running:
            first.join(60)
            cpu_s = running.cpu_s()
            _rest(running)
            read_mb = running.rss_mb()
        with daemon(settle(folder, provider=provider.url, interval="1h")) as running:
            until(lambda: _polls(provider) >= size, seconds=900, every_s=0.2)
            _rest(running)
            return cpu_s, read_mb, running.rss_mb()


def _rest(running: Measured) -> None:
    """Until it does nothing but poll once a second."""
    before_s, now_s = -1.0, running.cpu_s()
    while now_s - before_s > 0.1:
        time.sleep(2.0)
        before_s, now_s = now_s, running.cpu_s()


def _polls(provider: Any) -> int:
    return int(provider.ask("counts")["requests"])
