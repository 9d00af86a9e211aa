"""An archive in a folder, and servers of results, for tests of copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial as bound
from pathlib import Path
from typing import Any

from bridge.archive.answer_spool import KEEP_WITHIN_S, AnswerSpool
from bridge.archive.archive_sink import ArchiveSink
from bridge.archive.download import AskAgain, Download, Space, cannot_ask
from bridge.archive.folder import Folder
from bridge.archive.keeper import space_problem
from bridge.archive.part_file import PartFile
from bridge.archive.place import Place
from bridge.domain.archive_names import COPIED_KINDS
from bridge.domain.delivery import Delivery, Outcome
from bridge.domain.event import Event
from bridge.domain.task import Snapshot
from bridge.net.connector import Resolve, resolved
from bridge.net.outside_client import KeyFor, OutsideClient, Pace, no_key
from tests.fakes import FakeClock
from tests.loopback import Exchange, Script
from tests.sinks.samples import ENDED_AT, as_delivery, task_sample

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
FOLDER = "2025/11/01/kling"


def finished(*urls: str, kind: str = "videos", label: str | None = "cat", task_id: str = "t-1", **more: Any) -> Event:
    """The event of a task with these results."""
    items = [{"url": url, **({"needs_key": True} if "closed" in url else {})} for url in urls]
    snapshot = Snapshot(result={kind: items}, urls=urls, **more)
    return task_sample(snapshot=snapshot, label=label, task_id=task_id)


def delivery_of(sink: ArchiveSink, event: Event) -> Delivery:
    [parcel] = sink.parcels(event)
    return as_delivery(parcel, event)


async def copied(sink: ArchiveSink, event: Event) -> Outcome:
    return await sink.deliver(delivery_of(sink, event))


def archive_in(
    root: Path,
    *,
    place: Place | None = None,
    hosts: Sequence[str] = ("127.0.0.1",),
    most_bytes: int = 1 << 30,
    kinds: Sequence[str] = COPIED_KINDS,
    key_for: KeyFor = no_key,
    now: float = ENDED_AT + 60,
    pace: Pace | None = None,
    resolve: Resolve = resolved,
    space: Space | None = None,
    ask_again: AskAgain = cannot_ask,
) -> ArchiveSink:
    """The sink of an archive in this folder. It treats every host like the account's own host."""

    async def link_to(path: str) -> str | None:
        return f"https://bridge.example.com/results/{path}"

    partial = root / ".partial"
    return ArchiveSink(
        place=place or Folder(root),
        partial=lambda name: PartFile(partial / name),
        downloads={
            "kling": Download(
                client=OutsideClient(hosts=hosts, pace=pace, resolve=resolve), key_for=key_for, ask_again=ask_again
            )
        },
        spool=spool_in(root, most_bytes=most_bytes, kinds=kinds, space=space),
        kinds=kinds,
        most_bytes=most_bytes,
        space=space or bound(space_problem, root),
        clock=FakeClock(now),
        link_to=link_to,
    )


def spool_in(
    root: Path,
    *,
    most_bytes: int = 1 << 30,
    kinds: Sequence[str] = COPIED_KINDS,
    space: Space | None = None,
    within_s: float = KEEP_WITHIN_S,
) -> AnswerSpool:
    """The spool of that archive, for files inside answers."""
    space = space or bound(space_problem, root)
    return AnswerSpool(lambda: root / ".partial", kinds=kinds, most_bytes=most_bytes, space=space, within_s=within_s)


def files(root: Path) -> dict[str, bytes]:
    """Every file of the archive, unfinished ones too, by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def record(root: Path, name: str = "cat") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((root / FOLDER / f"{name}.json").read_text())
    return loaded


def ranges(body: bytes, *, cut_at: int | None = None, etag: str = '"v1"', honest: bool = True) -> Script:
    """A server that supports ranges. Each answer is cut after `cut_at` bytes of its body."""

    async def script(exchange: Exchange) -> None:
        wanted = exchange.asked.headers.get("range", "") if exchange.asked.headers.get("if-range") == etag else ""
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        left = body[start:]
        head = f"HTTP/1.1 {206 if wanted else 200} X\r\nContent-Length: {len(left)}\r\nETag: {etag}\r\n"
        if wanted:
            head += f"Content-Range: bytes {start if honest else start + 1}-{len(body) - 1}/{len(body)}\r\n"
        await exchange.raw(head.encode() + b"\r\n" + (left if cut_at is None else left[:cut_at]))
        if cut_at is not None and cut_at < len(left):
            await exchange.close()

    return script


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
