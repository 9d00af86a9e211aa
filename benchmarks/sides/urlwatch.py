"""urlwatch: a program that checks everything once and exits. It is started every 3 s, or at once when a run took
longer.

It has one job for each task, with the key as a header. Its display settings are the defaults, and so are its ten
workers. It notifies with its Mattermost reporter, which sends a POST to a URL. Lines of the report are not shortened,
so that they contain the URL of the result. Its cost is that of all runs and of the loop that starts them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import Measured
from benchmarks.sides import INTERVAL_S, installed, task_url

RUN = '"{command}" --urls jobs.yaml --config settings.yaml --hooks hooks.py --cache cache.db'
LOOP = f"while :; do sleep {INTERVAL_S} & {RUN}; wait; done"


class Urlwatch:
    """See `Side`."""

    def __init__(self, folder: Path, provider: str, receiver: str) -> None:
        self.name = "urlwatch"
        self._folder = folder
        self._provider = provider
        self._command = installed("urlwatch", "urlwatch")
        self._jobs: list[str] = []
        settings = {
            "report": {
                "text": {"details": True, "line_length": 4000},
                "mattermost": {"enabled": True, "webhook_url": f"{receiver}/hook"},
                "stdout": {"enabled": False},
            }
        }
        (folder / "settings.yaml").write_text(json.dumps(settings))
        (folder / "hooks.py").write_text("")

    def start(self) -> Measured:
        with (self._folder / "urlwatch.log").open("ab") as log:
            shell = ["sh", "-c", LOOP.format(command=self._command)]
            return Measured(subprocess.Popen(shell, cwd=self._folder, stdout=log, stderr=log))

    def add(self, task_ids: Sequence[str]) -> None:
        self._jobs += [
            json.dumps({"url": task_url(self._provider, task_id), "headers": {"Authorization": "Bearer a-key"}})
            for task_id in task_ids
        ]
        fresh = self._folder / "jobs.new"
        fresh.write_text("\n---\n".join(self._jobs) + "\n")
        fresh.replace(self._folder / "jobs.yaml")
