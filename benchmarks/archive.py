"""How fast results are copied into an archive, hashed and synced, against `curl -o` on the same file of a server on
loopback, side by side in turns; and how much memory eight copies at once take.
"""

from __future__ import annotations

import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.tables import Report, Table, number, ratio, spread

HEAD: Final = b"\x00\x00\x00\x18ftypmp42"
MB: Final = 1_000_000
AT_ONCE: Final = 8


def run(quick: bool) -> Report:
    rounds, size = (1, 2 * MB) if quick else (7, 100 * MB)
    ours: list[dict[str, float]] = []
    curls: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch, _files(Path(scratch), size) as url:
        for _ in range(rounds):
            ours.append(_copied(Path(scratch), url, 1))
            curls.append(_curl(Path(scratch), url))
        together = _copied(Path(scratch), url, AT_ONCE)
    speeds = [size / MB / one["seconds"] for one in ours], [size / MB / seconds for seconds, _ in curls]
    table = Table(
        head=("copying one file", "MB/s", "CPU, ms per 100 MB"),
        rows=[
            ("archive", spread(speeds[0]), spread([one["cpu"] * 1000 * 100 * MB / size for one in ours])),
            ("curl -o", spread(speeds[1]), spread([cpu * 1000 * 100 * MB / size for _, cpu in curls])),
        ],
    )
    more = f"{number(together['peak_mb'] - together['before_mb'])} MB"
    notes = [
        f"archive / curl: {ratio(*speeds)} (target: >= 0.7)",
        f"{AT_ONCE} files of {size // MB} MB at once: +{more} of memory (target: <= 40 MB)",
    ]
    return Report(title="Archive", how=__doc__, tables=[table], notes=notes)


def _copied(folder: Path, url: str, copies: int) -> dict[str, float]:
    """What a process that makes these copies took."""
    root = folder / "archive"
    command = [sys.executable, "-m", "benchmarks.archive_side", url, str(root), str(copies)]
    done = subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(root)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _curl(folder: Path, url: str) -> tuple[float, float]:
    """Its time and its CPU time. Without curl: nan."""
    if shutil.which("curl") is None:
        return float("nan"), float("nan")
    before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(["curl", "-s", "-o", folder / "out", f"{url}/0.mp4"], check=True)
    took, after = time.perf_counter() - since, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def _files(folder: Path, size: int) -> Iterator[str]:
    """A server of one file, under every name; the kernel sends it."""
    path = folder / "file.mp4"
    path.write_bytes(HEAD + bytes(size - len(HEAD)))
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def answer(wire: socket.socket) -> None:
        with wire, path.open("rb") as file:
            wire.recv(65536)
            wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size)
            wire.sendfile(file)

    def serve() -> None:
        while True:
            try:
                wire: Any = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=answer, args=(wire,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
