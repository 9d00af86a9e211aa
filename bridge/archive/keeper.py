"""Keeps the archive within its limits: free space, age and size."""

from __future__ import annotations

import math
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from bridge.archive.copy_record import CopyRecord
from bridge.archive.folder import nearest_existing
from bridge.archive.place import Place, PlaceFailed, StoredFile
from bridge.logs import get_logger
from bridge.ports import Clock

log = get_logger()

LEAST_FREE: Final = 0.05  # part of the disk; with less free space, no copy is made
TIDY_EVERY_S: Final = 300.0
UNFINISHED_S: Final = 7 * 86_400.0  # longer than all retries of a copy together
_DAY: Final = re.compile(r"\d{4}/\d\d/\d\d/[^/]+/[^/]+\Z")  # every file of the archive is in the folder of a day
_COPY: Final = re.compile(r"(.+)-\d+(?:-[a-z2-7]{8})?\.(?:data\.json|[^./]+)")


def space_problem(folder: Path, more_bytes: int = 0) -> str | None:
    """Why there is no room for copies, or for this many more bytes, on the disk of this folder; None if there is. The
    folder need not exist. Blocks."""
    existing = nearest_existing(folder)
    try:
        disk = shutil.disk_usage(existing)
    except OSError as error:
        return f"{existing}: {error.strerror}"
    if disk.free - more_bytes >= LEAST_FREE * disk.total:
        return None
    if more_bytes == 0:
        return f"less than {LEAST_FREE:.0%} of the disk is free at {folder}"
    return f"{more_bytes} more bytes would leave less than {LEAST_FREE:.0%} of the disk free at {folder}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """The limits in the settings. None: no limit."""

    place: Place
    quota_bytes: int | None
    keep_s: float | None


class Keeper:
    """Deletes copies that are too old, or the oldest if there are too many, task by task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rules: KeepRules | None = None
        self._changed = anyio.Event()

    def keep(self, rules: KeepRules | None) -> None:
        """Apply these rules from now on (None: no archive is configured)."""
        self._rules = rules
        self._changed.set()

    async def run(self) -> None:
        """Clean up every few minutes until canceled."""
        while True:
            self._changed = anyio.Event()
            rules = self._rules
            if rules is not None:
                try:
                    await anyio.to_thread.run_sync(tidy, rules, self._clock.now(), abandon_on_cancel=True)
                except PlaceFailed as error:
                    log.warning("archive.untidy", reason=str(error))
                except Exception:
                    log.exception("archive.bug")
            await self._clock.wait(self._changed, None if rules is None else TIDY_EVERY_S)


def tidy(rules: KeepRules, now: float) -> None:
    """Delete the copies of tasks that are older than `keep`, then the oldest until the rest is within `quota`, and
    unfinished files that have not changed for a week. Blocks. PlaceFailed if the archive cannot be read or changed."""
    _clean(rules.place.partial, now)
    if rules.quota_bytes is None and rules.keep_s is None:
        return
    tasks = sorted(_tasks(rules.place.entries()).items(), key=lambda task: _at(task[1]))
    total = sum(entry.bytes for _, entries in tasks for entry in entries)
    for stem, entries in tasks:
        is_old = rules.keep_s is not None and _at(entries) < now - rules.keep_s
        if not is_old and total <= (math.inf if rules.quota_bytes is None else rules.quota_bytes):
            continue
        total -= sum(entry.bytes for entry in entries)
        if (record := CopyRecord.at(rules.place, stem)) is None:
            continue  # the files of somebody else, who gave them such names
        made = {*(copy.path for copy in record.copies), f"{stem}.json"}
        removed = [entry for entry in entries if entry.path in made]
        for entry in sorted(removed, key=lambda entry: entry.path == f"{stem}.json"):  # the record last
            rules.place.delete(entry.path)
        size = sum(entry.bytes for entry in removed)
        log.info("archive.removed", path=stem, bytes=size, reason="keep" if is_old else "quota")


def _clean(partial: Path, now: float) -> None:
    for path in partial.iterdir() if partial.is_dir() else ():
        with suppress(OSError):
            if path.lstat().st_mtime < now - UNFINISHED_S:
                path.unlink()


def _tasks(entries: Iterable[StoredFile]) -> dict[str, list[StoredFile]]:
    """The files of each task that seems to have a record, by their path without number and extension."""
    found: dict[str, list[StoredFile]] = defaultdict(list)
    records: set[str] = set()
    for entry in entries:
        if not _DAY.match(entry.path):
            continue
        if entry.path.endswith(".json") and not entry.path.endswith(".data.json"):
            stem = entry.path.removesuffix(".json")
            records.add(stem)
        elif (copy := _COPY.fullmatch(entry.path)) is not None:
            stem = copy[1]
        else:
            continue
        found[stem].append(entry)
    return {stem: found[stem] for stem in records}


def _at(entries: Iterable[StoredFile]) -> float:
    return max(entry.at for entry in entries)
