"""Uploads to a bucket hold few parts in memory, however many files are uploaded at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.archive.buckets import BUCKET, environment, s3_server

UPLOADS = 8
FILE_MB = 16
MOST_MB = 25  # two parts of 5 MiB, and the memory that the allocator keeps
SCRIPT = """\
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from bridge.archive.bucket import Bucket

def kilobytes(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

folder, url, uploads, megabytes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
files = [folder / str(place) for place in range(uploads)]
for file in files:
    with file.open("wb") as opened:
        opened.truncate(megabytes << 20)
bucket = Bucket(url, folder)
assert bucket.read("nothing") is None
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS:")
with ThreadPoolExecutor(uploads) as pool:
    done = list(pool.map(lambda file: bucket.put(file.name, file, media_type="video/mp4"), files))
assert all(done) and {one.bytes for one in bucket.entries()} == {megabytes << 20}
print(kilobytes("VmHWM:") - before)
"""


@pytest.mark.timeout(300)
def test_uploads_at_once_hold_few_parts_in_memory(tmp_path: Path) -> None:
    with s3_server() as url:
        words = [sys.executable, "-c", SCRIPT, str(tmp_path), f"s3://{BUCKET}/memory", str(UPLOADS), str(FILE_MB)]
        run = subprocess.run(words, env={**os.environ, **environment(url)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) / 1024 < MOST_MB
