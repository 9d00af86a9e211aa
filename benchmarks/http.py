"""What the HTTP server costs. 1,000 tasks are polled every 5 s, and 20 a second finish, in turn without requests and
with 200 requests a second to the API.

The first table shows how late polls are (the gap between two polls of a task, minus the interval), and how long a
finish takes from the provider's answer to the webhook, including its commit. Memory is that of an idle daemon.
"""

from __future__ import annotations

import json
import signal
import socket
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.daemon import daemon, fill, settle
from benchmarks.http_load import PATHS
from benchmarks.processes import Server, server, start, until
from benchmarks.tables import Report, Table, number, percentile, spread

RATE: Final = 200  # requests a second
EVERY_MS: Final = 50  # time between two finishes
NEVER_MS: Final = 10**9
ALONE: Final = "e1700000000000-1"  # the id of a task that has finished
SHARES: Final = (0.5, 0.99)


@dataclass
class Side:
    """What was measured without or with requests, one item for each round."""

    late_ms: list[list[float]] = field(default_factory=list)  # how late each poll was
    told_ms: list[list[float]] = field(default_factory=list)  # time from the answer that shows a finish to the webhook
    cpu_percent: list[float] = field(default_factory=list)
    took_ms: dict[str, list[float]] = field(default_factory=dict)  # how long the API took to answer, by path
    failed: int = 0


def run(quick: bool) -> Report:
    tasks, interval_s, rounds = (100, 0.5, 1) if quick else (1000, 5.0, 3)
    quiet, asked = Side(), Side()
    for _ in range(rounds):
        for side in (quiet, asked):
            _measure(side, tasks, interval_s, is_asked=side is asked)
    rows = [
        [f"{what}, p{share * 100:.0f}", *(_spread(rounds, share) for rounds in sides)]
        for what, sides in (
            ("a poll is late by", (quiet.late_ms, asked.late_ms)),
            ("finish seen to webhook", (quiet.told_ms, asked.told_ms)),
        )
        for share in SHARES
    ]
    rows.append(["CPU of the daemon", spread(quiet.cpu_percent, unit="%"), spread(asked.cpu_percent, unit="%")])
    answers = [
        [path, *(f"{number(percentile(took, share))} ms" for share in SHARES)] for path, took in asked.took_ms.items()
    ]
    memory = [
        ["without `http:`", f"{idle_mb():.0f} MB"],
        ["with `http:`, after a request to each path", f"{idle_mb(PATHS):.0f} MB"],
    ]
    tables = [
        Table(head=("what", "no requests", f"{RATE} requests a second"), rows=rows),
        Table(head=("answers meanwhile", "p50", "p99"), rows=answers),
        Table(head=("idle, one notification sent", "RSS"), rows=memory),
    ]
    notes = [f"{asked.failed} requests failed", "target: requests delay neither polls nor commits; RSS <= 85 MB"]
    return Report(title="HTTP", how=__doc__, tables=tables, notes=notes)


def _spread(rounds: list[list[float]], share: float) -> str:
    return spread([percentile(values, share) for values in rounds], unit="ms")


def _measure(side: Side, tasks: int, interval_s: float, *, is_asked: bool) -> None:
    finishing = tasks // 5
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch,
        server("provider") as provider,
        server("receiver") as receiver,
    ):
        folder, port = Path(scratch), free_port()
        settled = partial(settle, folder, provider=provider.url, receiver=receiver.url, http=_http(port))
        interval = f"{interval_s:g}s"
        settings = settled(interval=interval, rate=tasks / interval_s * 1.25)
        fill(folder, _ids(tasks, finishing))
        with daemon(settings) as running:
            until(lambda: _polls(provider) >= tasks, seconds=60)
            settled(interval=interval)  # the polls are spread over the interval now: lift the limit
            time.sleep(2 * interval_s)
            provider.ask("gaps")
            cpu_s, begun_at = running.cpu_s(), time.monotonic()
            provider.ask("open")
            with _load(port, side, rate=RATE if is_asked else 0):
                patience_s = finishing * EVERY_MS / 1000 + 3 * interval_s
                until(lambda: bool(receiver.ask("count") >= finishing), seconds=patience_s)
            cpu_s, seconds = running.cpu_s() - cpu_s, time.monotonic() - begun_at
            gaps, ended, told = provider.ask("gaps"), provider.ask("ends")["told_at"], receiver.ask("told")
    first = {task_id: at for at, task_id, _, _ in reversed(told)}
    side.late_ms.append([(gap - interval_s) * 1000 for gap in gaps])
    side.told_ms.append([(first[task_id] - at) * 1000 for task_id, at in ended.items() if task_id in first])
    side.cpu_percent.append(cpu_s / seconds * 100)


def _ids(tasks: int, finishing: int) -> Iterator[str]:
    """The ids of the tasks. The first tasks finish one after the other once the gate is open; the others never
    finish."""
    for place in range(tasks):
        yield f"g{place * EVERY_MS if place < finishing else NEVER_MS}-{place}"


@contextmanager
def _load(port: int, side: Side, *, rate: float) -> Iterator[None]:
    """Send this many requests per second to the API until the block ends."""
    if not rate:
        yield
        return
    process = start("benchmarks.http_load", f"http://127.0.0.1:{port}", str(rate))
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        found = json.loads(process.stdout.read() or "{}")
        process.wait(15)
        process.stdout.close()
    side.failed += found["failed"]
    for path, took in found["took_ms"].items():
        side.took_ms.setdefault(path, []).extend(took)


def idle_mb(paths: Sequence[str] = ()) -> float:
    """RSS in MB of a daemon that has sent the result of ALONE. `paths`: pages that were requested (with `http:`)."""
    with tempfile.TemporaryDirectory() as scratch, server("provider") as provider, server("receiver") as receiver:
        port = free_port()
        more: dict[str, Any] = {"http": _http(port)} if paths else {}
        settings = settle(Path(scratch), provider=provider.url, receiver=receiver.url, **more)
        fill(Path(scratch), [ALONE])
        with daemon(settings) as running, ExitStack() as opened:
            until(lambda: bool(receiver.ask("count")), seconds=30)
            for path in paths:
                opened.enter_context(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10))
            time.sleep(1)
            return running.rss_mb()


def _http(port: int) -> dict[str, Any]:
    return {"listen": f"127.0.0.1:{port}"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _polls(provider: Server) -> int:
    return int(provider.ask("counts")["requests"])
