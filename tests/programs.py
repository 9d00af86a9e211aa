"""Programs that tests start. None runs longer than its test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import AnyStr


@contextmanager
def ended(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill the process at the end of the block if it still runs. (`Popen` alone would wait forever.)"""
    with process:
        try:
            yield process
        finally:
            process.kill()
