"""Prometheus, Alertmanager and promtool from Debian. Tests that need a missing one are skipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
}


def program(name: str) -> str:
    """The path of a program; skips the test if it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: install {PACKAGES[name]}")
    return found


def promtool(*words: str | Path, text: bytes = b"") -> str:
    """Run promtool, which must find no fault, and return its output."""
    command = [program("promtool"), *map(str, words)]
    done = subprocess.run(command, input=text, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()
