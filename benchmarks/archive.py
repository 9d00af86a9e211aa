"""What copies cost. The results of eight tasks that finish together are copied at the same time, into a folder and
into a bucket of an S3 server (moto). Then one file is copied into a folder, compared with `curl -o` of the same
file. Memory is RSS: the maximum during the eight copies, compared with the same daemon after its first copy, when
all libraries are loaded."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

from benchmarks.daemon import daemon, fill, settle
from benchmarks.processes import Server, server, until
from benchmarks.tables import Report, Table, number, ratio, spread
from tests.archive.buckets import BUCKET, environment, s3_server

AT_ONCE: Final = 8
PATIENCE_S: Final = 900.0


class Copied(NamedTuple):
    """What copying has cost."""

    before_mb: float
    first_mb: float
    most_mb: float
    seconds: float
    cpu_s: float


def run(quick: bool) -> Report:
    size_mb, alone_mb, rounds = (2, 2, 1) if quick else (100, 512, 3)
    rows = [_row("a folder", _copied(size_mb, AT_ONCE), size_mb)]
    notes = ["target: at most 40 MB more; at least 0.7 of curl's bytes per second"]
    if importlib.util.find_spec("moto") is None:
        notes.append("without a bucket: there is no moto (pip install 'moto[server,s3]')")
    else:
        with s3_server() as url, patch.dict(os.environ, environment(url)):
            rows.append(_row("a bucket", _copied(size_mb, AT_ONCE, to=f"s3://{BUCKET}/x"), size_mb))
    tables = [
        Table(
            head=(
                "8 copies at once into",
                "before the first copy",
                "after it",
                "most",
                "more",
                "time",
                "CPU per 100 MB",
            ),
            rows=rows,
        )
    ]
    ours, theirs = [], []
    for _ in range(rounds if shutil.which("curl") else 0):
        ours.append(alone_mb / _copied(alone_mb, 1).seconds)
        theirs.append(alone_mb / _curled(alone_mb))
    sides = [["a copy", spread(ours, unit="MB/s"), ratio(ours, theirs)], ["curl -o", spread(theirs, unit="MB/s"), ""]]
    tables.append(Table(head=(f"one file of {alone_mb} MB", "speed", "/ curl"), rows=sides))
    return Report(title="The archive", how=__doc__, tables=tables, notes=notes)


def _row(place: str, copied: Copied, size_mb: int) -> list[str]:
    hundreds = size_mb * AT_ONCE / 100
    more_mb = copied.most_mb - copied.first_mb
    return [
        f"{place}, {size_mb} MB each",
        *(f"{mb:.0f} MB" for mb in (copied.before_mb, copied.first_mb, copied.most_mb, more_mb)),
        f"{number(copied.seconds)} s",
        f"{number(copied.cpu_s / hundreds)} s",
    ]


def _copied(size_mb: int, tasks: int, *, to: str = "archive/") -> Copied:
    """Copy the results of this many tasks that finish together."""
    with _finishing(size_mb) as provider, tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        settings = settle(folder, provider=provider.url, interval="200ms", archive={"to": to})
        fill(folder, ["r"])
        with daemon(settings) as running:
            provider.ask("polled")
            before_mb = running.rss_mb()
            fill(folder, ["first"])
            _wait_for(1, folder)
            fill(folder, [f"g{place}" for place in range(tasks)])
            time.sleep(2.0)
            first_mb, cpu_s = running.rss_mb(), running.cpu_s()
            running.forget_peak()
            provider.ask("open")
            begun_at = time.monotonic()
            _wait_for(1 + tasks, folder)
            seconds = time.monotonic() - begun_at
            return Copied(before_mb, first_mb, running.peak_mb(), seconds, running.cpu_s() - cpu_s)


def _wait_for(copies: int, folder: Path) -> None:
    if not until(lambda: _accepted(folder) >= copies, seconds=PATIENCE_S, every_s=0.02):
        raise RuntimeError(f"{_accepted(folder)} of {copies} copies were made")


def _accepted(folder: Path) -> int:
    """How many deliveries to the archive are done."""
    with closing(sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True)) as store:
        [count] = store.execute("SELECT count(*) FROM deliveries WHERE state = 'accepted'").fetchone()
    return int(count)


def _curled(size_mb: int) -> float:
    """Seconds that curl takes to write the file to the same disk."""
    with _finishing(size_mb) as provider, tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        begun_at = time.monotonic()
        subprocess.run(["curl", "-s", "-o", file.name, f"{provider.url}/files/x.mp4"], check=True)
        os.fsync(file.fileno())
        return time.monotonic() - begun_at


@contextmanager
def _finishing(size_mb: int) -> Iterator[Server]:
    with server("result_server", "--megabytes", str(size_mb)) as provider:
        yield provider
