"""Programs that watch the same tasks for the same receiver, each set up as its own documentation says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from benchmarks.processes import ROOT, Measured
from benchmarks.provider import PATH

CACHE: Final = Path(os.environ.get("GENBRIDGE_BENCHMARKS_CACHE", ROOT / ".benchmarks"))
INTERVAL_S: Final = 3  # the least that changedetection.io allows


class Side(Protocol):
    """One program between one provider and one receiver, in a folder of its own."""

    name: str

    def start(self) -> Measured:
        """Run it; again after a kill, on what it has kept."""

    def add(self, task_ids: Sequence[str]) -> None:
        """Have it watch these too. It is running."""


def task_url(provider: str, task_id: str) -> str:
    """What a person would paste into such a program."""
    return f"{provider}{PATH}{task_id}"


def installed(package: str, command: str) -> Path:
    """The command of a package from the index, in a virtual environment of its own that is kept between runs. Raises
    CalledProcessError when it cannot be installed."""
    folder = CACHE / package
    path = folder / "bin" / command
    if not path.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", package], check=True, stderr=subprocess.DEVNULL)
    return path


def version(package: str) -> str:
    """Of an installed one, for the table."""
    listed = subprocess.run(
        [CACHE / package / "bin" / "pip", "show", package], capture_output=True, text=True, check=True
    ).stdout
    return next(line.partition(": ")[2] for line in listed.splitlines() if line.startswith("Version: "))
