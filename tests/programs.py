"""Programs that tests start: none outlives its test, however that ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import AnyStr


@contextmanager
def ended(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill it when the block is over, if it still runs. (`Popen` alone would wait for it, for ever.)"""
    with process:
        try:
            yield process
        finally:
            process.kill()
