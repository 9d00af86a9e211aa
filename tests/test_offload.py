"""Calls of the store in a thread."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest

from bridge.errors import StoreError
from bridge.offload import ThreadOffload


def test_without_a_free_thread_the_store_counts_as_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def call() -> None:
        offload = ThreadOffload()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(StoreError, match="no free thread"):
                await offload(int)
        assert await offload(int) == 0

    anyio.run(call)


HEAPS = """
import re, threading
from pathlib import Path
from bridge.offload import ThreadOffload

ThreadOffload()
together = threading.Barrier(12)

def work():
    together.wait()
    kept = [bytes(5000) for _ in range(20)]
    together.wait()

threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
starts = re.findall(r"^([0-9a-f]+)-\\S+ rw-p 00000000 00:00 0 *$", Path("/proc/self/maps").read_text(), re.M)
print(sum(int(start, 16) % 2**26 == 0 for start in starts))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives each thread a heap of its own")
def test_worker_threads_share_one_heap() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, env=environment, timeout=60)
    assert (ran.stdout, ran.stderr) == ("1\n", "")
