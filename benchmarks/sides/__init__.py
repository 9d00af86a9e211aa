"""The compared programs. They watch the same tasks for the same receiver, each set up as its documentation says."""

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
INTERVAL_S: Final = 3  # the shortest interval that changedetection.io allows


class Side(Protocol):
    """One program with its provider and its receiver, in a folder of its own."""

    name: str

    def start(self) -> Measured:
        """Start the program. After a kill, start it again with the data that it has kept."""

    def add(self, task_ids: Sequence[str]) -> None:
        """Add these tasks while the program is running."""


def task_url(provider: str, task_id: str) -> str:
    """What a person would paste into such a program."""
    return f"{provider}{PATH}{task_id}"


def installed(package: str, command: str) -> Path:
    """Install a package in a virtual environment of its own, unless that exists already, and return its command. Raises
    CalledProcessError when the package cannot be installed."""
    folder = CACHE / package
    path = folder / "bin" / command
    if not path.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", package], check=True, stderr=subprocess.DEVNULL)
    return path


def version(package: str) -> str:
    """The version of an installed package, for the table."""
    listed = subprocess.run(
        [CACHE / package / "bin" / "pip", "show", package], capture_output=True, text=True, check=True
    ).stdout
    return next(line.partition(": ")[2] for line in listed.splitlines() if line.startswith("Version: "))
