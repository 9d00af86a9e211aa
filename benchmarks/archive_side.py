"""`python -m benchmarks.archive_side URL FOLDER COPIES`: makes copies at the same time, and prints what that took."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import anyio
import orjson

from bridge.archive.archive_sink import ArchiveLimits, ArchiveSink
from bridge.archive.download import Download
from bridge.archive.folder import Folder
from bridge.archive.keeper import FreeSpace
from bridge.archive.part_file import PartFile
from bridge.clock import SystemClock
from bridge.domain.archive_names import ARCHIVE
from bridge.domain.delivery import Accepted, Delivery
from bridge.net.outside_client import OutsideClient, no_key


async def _none(_path: str) -> str | None:
    return None


def _sink(root: Path) -> ArchiveSink:
    return ArchiveSink(
        place=Folder(root),
        partial=lambda name: PartFile(root / ".partial" / name),
        downloads={"a": Download(client=OutsideClient(hosts=["127.0.0.1"]), key_for=no_key)},
        limits=ArchiveLimits(kinds=["videos"], most_bytes=1 << 40),
        space=FreeSpace(root),
        clock=SystemClock(),
        link_to=_none,
    )


def _delivery(url: str, number: int) -> Delivery:
    event_id = f"evt_{number:08}aaaaaaaa"
    data = {"task_id": f"t{number}", "account": "a", "event_id": event_id, "ended_at": 0, "archive": []}
    body = {"topic": "task_succeeded", "data": {**data, "task_result": {"videos": [{"url": f"{url}/{number}.mp4"}]}}}
    return Delivery(
        delivery_id=number,
        event_id=event_id,
        endpoint=ARCHIVE,
        target="",
        topic="task_succeeded",
        account="a",
        subject=f"t{number}",
        attempts=0,
        body=orjson.dumps(body),
    )


async def _copy(url: str, root: Path, copies: int) -> dict[str, float]:
    """What these copies took, after one more that is not measured: a daemon has been running for a while."""
    sink = _sink(root)

    async def one(number: int) -> None:
        outcome = await sink.deliver(_delivery(url, number))
        if not isinstance(outcome, Accepted):
            raise RuntimeError(str(outcome))

    await one(copies)
    before_mb = _memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
    since, cpu_since = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as group:
        for number in range(copies):
            group.start_soon(one, number)
    took = {"seconds": time.perf_counter() - since, "cpu": time.process_time() - cpu_since}
    return {**took, "before_mb": before_mb, "peak_mb": _memory_mb("VmHWM")}


def _memory_mb(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    url, root, copies = sys.argv[1:]
    print(json.dumps(asyncio.run(_copy(url, Path(root), int(copies)))))


if __name__ == "__main__":
    main()
