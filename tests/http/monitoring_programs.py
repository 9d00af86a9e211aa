"""Prometheus, Alertmanager and promtool, as Debian packages them. Tests without them are skipped."""

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
    """What promtool prints about this. It must find no fault."""
    command = [program("promtool"), *map(str, words)]
    done = subprocess.run(command, input=text, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()
