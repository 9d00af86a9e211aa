"""changedetection.io: its server on loopback. Watches are added through its REST API, with an interval of 3 s (the
shortest that it allows).

The key is sent as a header. It notifies a `post://` address (Apprise) with the current content as the body, in plain
text. It has ten fetch workers (five by default). Its protection against loopback addresses is switched off with its own
environment variable.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import Measured, until
from benchmarks.sides import INTERVAL_S, installed, task_url

ENVIRONMENT: Final = {
    "ALLOW_IANA_RESTRICTED_ADDRESSES": "true",
    "FETCH_WORKERS": "10",
    "MINIMUM_SECONDS_RECHECK_TIME": str(INTERVAL_S),
    "DISABLE_VERSION_CHECK": "true",
}


class ChangeDetection:
    """See `Side`."""

    def __init__(self, folder: Path, provider: str, receiver: str) -> None:
        self.name = "changedetection.io"
        self._folder = folder
        self._provider = provider
        self._receiver = receiver
        self._command = installed("changedetection.io", "changedetection.io")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]

    def start(self) -> Measured:
        store = str(self._folder / "store")
        words = [str(self._command), "-h", "127.0.0.1", "-p", str(self._port), "-d", store, "-C", "-l", "ERROR"]
        with (self._folder / "changedetection.log").open("ab") as log:
            running = Measured(
                subprocess.Popen(words, cwd=self._folder, env=os.environ | ENVIRONMENT, stdout=log, stderr=log)
            )
        if not until(self._is_up, seconds=60):
            raise RuntimeError("changedetection.io does not answer")
        for example in self._ask("GET", "watch"):  # a new store has two watches of pages of changedetection.io
            if self._provider not in json.dumps(self._ask("GET", "watch")[example]):
                self._ask("DELETE", f"watch/{example}")
        return running

    def add(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            self._ask(
                "POST",
                "watch",
                {
                    "url": task_url(self._provider, task_id),
                    "headers": {"Authorization": "Bearer a-key"},
                    "time_between_check": {"seconds": INTERVAL_S},
                    "time_between_check_use_default": False,
                    "notification_urls": [self._receiver.replace("http:", "post:") + "/hook"],
                    "notification_title": "changed",
                    "notification_body": "{{current_snapshot}}",
                    "notification_format": "text",
                },
            )

    def _is_up(self) -> bool:
        try:
            return bool(self._ask("GET", "systeminfo"))
        except OSError:
            return False

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        settings = json.loads((self._folder / "store" / "changedetection.json").read_text())
        key = settings["settings"]["application"]["api_access_token"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/api/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"x-api-key": key, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
