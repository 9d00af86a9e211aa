"""Starts the genbridge that is measured: the real daemon, run by its command, on a prepared SQLite store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import Measured
from benchmarks.provider import ACTION
from bridge.domain.watch import Wish
from bridge.store import open_store

ACCOUNT: Final = "kling"
LOG: Final = "daemon.log"  # in the folder of the settings
AT_ONCE: Final = 5000  # watches per transaction while a store is filled


def settle(
    folder: Path,
    *,
    provider: str,
    receiver: str | None = None,
    concurrency: int = 64,
    rate: float = 10_000,
    interval: str | tuple[str, str] = "100ms",
    **more: Any,
) -> Path:
    """Write a settings file in `folder`. It is JSON, because JSON is YAML too."""
    least, most = (interval, interval) if isinstance(interval, str) else interval
    limits = {"rate": rate, "burst": 10_000 if rate >= 10_000 else 10, "concurrency": concurrency}
    account = {"provider": "kling", "base_url": provider, "api_key": "a-key", "action": ACTION, "limits": limits}
    settings = {
        "store": "state.db",
        "accounts": {ACCOUNT: account},
        "endpoints": {"hook": {"type": "webhook", "url": f"{receiver}/hook", "concurrency": 64}} if receiver else {},
        "polling": {"min_interval": least, "max_interval": most},
        "log": {"level": "warning", "format": "json"},
        **more,
    }
    path = folder / "genbridge.yaml"
    path.write_text(json.dumps(settings))
    path.chmod(0o600)
    return path


def fill(folder: Path, task_ids: Iterable[str]) -> None:
    """Add these watches to the store in the folder, as a queue file would."""
    store = open_store(folder / "state.db", create=True, group_access=False)
    ids = iter(task_ids)
    try:
        while some := [Wish(account=ACCOUNT, task_id=task_id, action=ACTION) for task_id in islice(ids, AT_ONCE)]:
            store.add(some, source="benchmark", now=time.time())
    finally:
        store.close()


def started(settings: Path) -> Measured:
    """Start `genbridge run` with these settings."""
    words = [sys.executable, "-m", "bridge", "--config", str(settings), "run"]
    with settings.with_name(LOG).open("ab") as said:
        return Measured(subprocess.Popen(words, cwd=settings.parent, stderr=said))


@contextmanager
def daemon(settings: Path) -> Iterator[Measured]:
    """Run `genbridge run` with these settings until the block ends."""
    running = started(settings)
    try:
        yield running
        if running.process.poll() is not None:
            raise RuntimeError(f"the daemon ended by itself: {settings.with_name(LOG).read_text()[-2000:]}")
    finally:
        if running.process.poll() is None:
            running.stop()
