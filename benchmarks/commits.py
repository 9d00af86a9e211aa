"""How fast the store commits finished tasks: a transition, its event and one delivery with its bytes, synced to disk.
Measured with one task per transaction, and in groups of 100, as the write batcher commits them; also for notes of
polls."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.daemon import ACCOUNT, fill
from benchmarks.delay import syncs
from benchmarks.tables import Report, Table, spread
from bridge.domain.change import Note, TaskChange
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind, Snapshot
from bridge.domain.watch import Memory
from bridge.store import open_store

GROUP: Final = 100
BODY: Final = b"x" * 800  # size of a webhook's body


def run(quick: bool) -> Report:
    rounds, singles, groups = (1, 10, 2) if quick else (5, 400, 40)
    found: dict[str, list[tuple[float, float]]] = {"alone": [], "groups of 100": [], "notes, groups of 100": []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        for place in range(rounds):
            fill(folder, (f"r{place}-{number}" for number in range(singles + 2 * groups * GROUP)))
            keys = [WatchKey(ACCOUNT, f"r{place}-{number}") for number in range(singles + 2 * groups * GROUP)]
            alone, grouped, noted = keys[:singles], keys[singles : singles + groups * GROUP], keys[-groups * GROUP :]
            found["alone"].append(_committed(folder, [[_end(key)] for key in alone]))
            found["groups of 100"].append(
                _committed(folder, [[_end(key) for key in some] for some in _groups(grouped)])
            )
            found["notes, groups of 100"].append(
                _noted(folder, [[_note(key) for key in some] for some in _groups(noted)])
            )
        synced = syncs(folder, 20 if quick else 200)
    rows = [
        [what, spread([per_s for per_s, _ in costs], unit="/s"), spread([cpu_us for _, cpu_us in costs], unit="us")]
        for what, costs in found.items()
    ]
    notes = [f"one sync of this disk: {spread([sum(synced) / len(synced)])} ms on average"]
    table = Table(head=("commits", "rate", "CPU each"), rows=rows)
    return Report(title="Commits", how=__doc__, tables=[table], notes=notes)


def _committed(folder: Path, transactions: Sequence[Sequence[TaskChange]]) -> tuple[float, float]:
    store = open_store(folder / "state.db", create=False, group_access=False)
    begun_at, cpu_s = time.monotonic(), _cpu_s()
    applied = [done for changes in transactions for done in store.commit(changes, _tell)]
    elapsed_s, cpu_s = time.monotonic() - begun_at, _cpu_s() - cpu_s
    store.close()
    assert all(applied)
    return len(applied) / elapsed_s, cpu_s / len(applied) * 1e6


def _noted(folder: Path, transactions: Sequence[Sequence[Note]]) -> tuple[float, float]:
    store = open_store(folder / "state.db", create=False, group_access=False)
    begun_at, cpu_s = time.monotonic(), _cpu_s()
    for notes in transactions:
        store.note(notes)
    elapsed_s, cpu_s = time.monotonic() - begun_at, _cpu_s() - cpu_s
    store.close()
    count = sum(map(len, transactions))
    return count / elapsed_s, cpu_s / count * 1e6


def _tell(event: Event) -> Sequence[Parcel]:
    return [Parcel(endpoint="hook", target="", body=BODY, is_documented=True)]


def _note(key: WatchKey, *, phase: Phase = Phase.RUNNING, kind: ReadingKind = ReadingKind.RUNNING) -> Note:
    now = time.time()
    return Note(
        key=key,
        generation=1,
        memory=Memory(phase=phase, polls=1),
        kind=kind,
        detail="",
        at=now,
        next_poll_at=now + 2 if phase is Phase.RUNNING else None,
        next_poll_why="a tenth of its age",
    )


def _end(key: WatchKey) -> TaskChange:
    url = f"https://cdn.example.com/{key.task_id}.mp4"
    return TaskChange(
        note=_note(key, phase=Phase.SUCCEEDED, kind=ReadingKind.SUCCEEDED),
        ends=True,
        topic=Topic.TASK_SUCCEEDED,
        topic_part="",
        reason=None,
        snapshot=Snapshot(status="succeed", result={"videos": [{"id": "v1", "url": url}]}, urls=(url,)),
        provider="kling",
        at=time.time(),
    )


def _groups(keys: Sequence[WatchKey]) -> list[Sequence[WatchKey]]:
    return [keys[start : start + GROUP] for start in range(0, len(keys), GROUP)]


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
