"""The receiver: `python -m benchmarks.receiver [--port P] [--refuse-first]`. Accepts any POST. A task counts as
notified when its result URL is in a request. With `--refuse-first`, the first request about a task gets 503.
"""

from __future__ import annotations

import argparse
import re
import time
from typing import Any, Final

from benchmarks.serving import serve, whole

TOLD: Final = re.compile(rb"cdn\.example\.com/([a-z0-9-]+)\.mp4")
WEBHOOK_ID: Final = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)
ACCEPTED: Final = whole("200 OK", b"{}")
REFUSED: Final = whole("503 Service Unavailable", b"{}")


class Receiver:
    """Remembers each notification: when it came, its task, its event id, and whether it was accepted."""

    def __init__(self, *, refuses_first: bool) -> None:
        self.connections = 0
        self._refuses_first = refuses_first
        self._told: list[tuple[float, str, str, bool]] = []
        self._refused: set[str] = set()

    def answer(self, method: str, target: str, body: bytes, headers: bytes) -> tuple[bytes, float]:
        now = time.monotonic()
        event = WEBHOOK_ID.search(b"\r\n" + headers)
        event_id = event[1].decode() if event else ""
        tasks = {found.decode() for found in TOLD.findall(body)}
        accepts = not self._refuses_first or tasks <= self._refused
        self._refused |= tasks
        self._told += [(now, task_id, event_id, accepts) for task_id in tasks]
        return (ACCEPTED if accepts else REFUSED), 0.0

    def control(self, name: str) -> Any:
        return len({told[1] for told in self._told if told[3]}) if name == "count" else self._told


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--refuse-first", action="store_true")
    chosen = parser.parse_args()
    serve(Receiver(refuses_first=chosen.refuse_first), port=chosen.port)
