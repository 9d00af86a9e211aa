"""genbridge: the daemon with a webhook endpoint, tasks added by `genbridge add -`.

With `interval` None, genbridge chooses the cadence. Otherwise every task is polled at this interval, as the other
programs do. The account's rate is raised from 10 to 1,000 requests a second, since the others have no such limit.
Retries come after 5, 30 and 60 s (by default 5 s, 5 and 30 min), so that the run is short.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.daemon import settle, started
from benchmarks.processes import Measured

RETRIES = ["5s", "30s", "1m", "5m", "30m", "2h"]


class Genbridge:
    """See `Side`."""

    def __init__(self, folder: Path, provider: str, receiver: str, *, interval: str | None) -> None:
        self.name = "genbridge, own cadence" if interval is None else f"genbridge, every {interval}"
        self._settings = settle(
            folder,
            provider=provider,
            receiver=receiver,
            rate=1000,
            interval=interval or ("2s", "5m"),
            delivery={"retries": RETRIES},
        )

    def start(self) -> Measured:
        return started(self._settings)

    def add(self, task_ids: Sequence[str]) -> None:
        words = [sys.executable, "-m", "bridge", "--config", str(self._settings), "add", "-"]
        subprocess.run(words, input="\n".join(task_ids), text=True, check=True, capture_output=True)
