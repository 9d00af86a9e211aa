"""The queue folder: a file in it is read, its tasks are committed, and then it is removed."""

from __future__ import annotations

import itertools
import math
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.finding import Finding
from bridge.domain.source import SourceKind, SourceTally
from bridge.logs import get_logger
from bridge.ports import Clock, Intake
from bridge.sources.queue_files import QueueFile, scan
from bridge.sources.queue_reader import MOST_FILES, RETRY_S, Chunk, QueueReader, ReadFile
from bridge.sources.rejects import FOLDER, escaped
from bridge.sources.rescans import RESCAN_S, Rescanner
from bridge.sources.source_checks import CREATED, error, ok, owner
from bridge.sources.task_files import SMALL_BYTES
from bridge.sources.task_reader import TaskReader
from bridge.sources.writers import Writers

NAME: Final = SourceKind.QUEUE.value

_SCAN_S: Final = 0.5  # maximum time of reading before the next scan of the folder
# Larger files than these are read by separate processes, at most this many at a time. One is reserved for smaller
# files.
_PROCESSES: Final = ((1024 * 1024, 1), (256 * 1024, 2), (0, 3))
_MOST_NAMES: Final = 5  # maximum in a log line
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RIGHTS: Final = ((os.R_OK, "list it"), (os.W_OK, "remove files from it"), (os.X_OK, "enter it"))

log = get_logger()


class Queue:
    """`ports.FileSource` for a folder.

    A file counts as accepted when it has left the folder: removed after the commit of its tasks, or moved to
    `rejected/`. If the daemon crashes before that, the file is read again, which changes nothing. Links are not
    followed, and only regular files are opened. If the folder disappears or cannot be read, the source waits for it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        intake: Intake,
        reader: TaskReader,
        clock: Clock,
        settle_s: float | None = None,
    ) -> None:
        self.tally = SourceTally(source=NAME, path=str(folder))
        self._folder = folder
        self._settle_s = settle_s
        self._intake = intake
        self._reader = reader
        self._clock = clock
        self._was_there = False
        self._files: dict[str, QueueFile] = {}
        self._readers: set[QueueReader] = set()
        self._busy: dict[str, QueueFile] = {}  # large files that are being read, by name
        self._is_idle = False
        self._is_turn_of_newest = False

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take files until canceled. If the folder is missing but its parent exists, the folder is created once, for
        its owner only."""
        self._writers = Writers()
        self._rescanner = Rescanner(self.tally, self._folder, clock=self._clock)
        try:
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(self._stop_reading)
                await self._rescanner.run(self._look, self.is_idle, task_status=task_status)
        finally:
            self._writers.close()

    def is_idle(self) -> bool:
        """Whether every file found so far has been accepted, rejected or ignored."""
        return self._is_idle

    def inspect(self) -> Finding:
        """See `ports.FileSource.inspect`: whether files can be listed, read and removed."""
        try:
            found = self._folder.stat()
        except FileNotFoundError:
            return self._inspect_missing()
        except OSError as problem:
            return error(NAME, f"{self._folder}: {problem.strerror}")
        if not stat.S_ISDIR(found.st_mode):
            return error(NAME, f"{self._folder} is not a folder; name the folder that holds the files")
        if os.statvfs(self._folder).f_flag & os.ST_RDONLY:
            return error(NAME, f"{self._folder}: the file system is mounted read-only; remount it")
        for path in (self._folder, self._folder / FOLDER):
            rights = _RIGHTS if path.exists() else ()
            if lacking := [what for right, what in rights if not os.access(path, right, effective_ids=True)]:
                return error(NAME, f"{path}: no permission to {' or '.join(lacking)}; {owner(path)}")
        return ok(NAME, str(self._folder))

    def _inspect_missing(self) -> Finding:
        parent = self._folder.parent
        if self._folder.is_symlink():
            return error(NAME, f"{self._folder} is a broken symbolic link")
        if not parent.is_dir():
            return error(NAME, self._missing_parent())
        if not os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
            return error(NAME, f"{self._folder} does not exist, and {parent} cannot be written")
        return ok(NAME, f"{self._folder} {CREATED}")

    def _missing_parent(self) -> str:
        return f"the parent folder {self._folder.parent} does not exist: create it, or change sources.queue"

    async def _look(self) -> float:
        now = self._clock.steady()
        try:
            self._files = await anyio.to_thread.run_sync(self._scan, now, abandon_on_cancel=True)
        except OSError:
            self._files, self._is_idle = {}, True
            raise
        ready = [file for file in self._wanted() if file.ready_at <= now]
        self._begin_large([file for file in ready if file.is_large])
        if small := [file for file in ready if not file.is_large]:
            self._is_idle = False
            self._is_turn_of_newest = not self._is_turn_of_newest
            await self._take(in_turn(small, newest_first=self._is_turn_of_newest), _SCAN_S)
        self._is_idle = not self._busy and all(file.is_stuck for file in self._wanted())
        # A large file that is ready waits for another large one. When that is done, it requests a scan.
        later = [file.ready_at for file in self._wanted() if not file.is_large or file.ready_at > now]
        return min(later, default=now + RESCAN_S) - self._clock.steady()

    def _wanted(self) -> Iterable[QueueFile]:
        return (file for file in self._files.values() if not file.is_left_alone and file.name not in self._busy)

    def _begin_large(self, ready: Sequence[QueueFile]) -> None:
        """Start to read large files in parallel, the smallest first."""
        for file in sorted(ready, key=lambda file: file.state.size_bytes):
            sizes = [file.state.size_bytes, *(busy.state.size_bytes for busy in self._busy.values())]
            if any(sum(size > limit for size in sizes) > most for limit, most in _PROCESSES):
                break
            self._busy[file.name] = file
            self._group.start_soon(self._take_large, file)

    async def _stop_reading(self) -> None:
        """When canceled, end the processes for which the reading threads wait, because this task waits for the
        threads."""
        try:
            await anyio.sleep_forever()
        finally:
            for reader in self._readers:
                reader.stop()

    async def _take_large(self, file: QueueFile) -> None:
        try:
            await self._take([file], math.inf)
        except OSError:
            file.retry_at = self._clock.steady() + RETRY_S  # the folder is gone, which the next scan reports
        finally:
            del self._busy[file.name]
            self._rescanner.wake()

    def _create(self) -> None:
        """Create the folder once. If it disappears later, wait for it, because a file system may have been unmounted
        there."""
        if self._was_there:
            return
        try:
            self._folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise OSError(self._missing_parent()) from None
        else:
            log.info("queue.created", folder=str(self._folder))
        self._was_there = True

    def _scan(self, now: float) -> dict[str, QueueFile]:
        self._create()
        self._writers.look(self._folder)
        files = scan(self._folder, self._files, now=now, settle_s=self._settle_s)
        strange = [each for each in files.values() if each.is_left_alone and not each.is_reported]
        if strange := [each for each in strange if each.ready_at <= now]:
            names = [escaped(file.name) for file in strange[:_MOST_NAMES]]
            log.warning("queue.left_alone", files=len(strange), names=names)
        for file in strange:
            file.is_reported = True
        self.tally.note = self._writers.way
        self.tally.left_alone = sum(file.is_left_alone for file in files.values())
        return files

    async def _take(self, ready: Sequence[QueueFile], most_s: float) -> None:
        """Commit chunk by chunk. A file is finished only after the commit with its last task."""
        until = self._clock.steady() + most_s
        folder_fd = await anyio.to_thread.run_sync(os.open, self._folder, _FLAGS)
        reader = QueueReader(folder_fd, self._reader, writers=self._writers, steady=self._clock.steady)
        self._readers.add(reader)
        chunks = reader.chunks(ready)
        try:
            while chunk := await anyio.to_thread.run_sync(next, chunks, None):
                await self._commit(reader, chunk)
                if chunk.files and self._clock.steady() >= until:
                    break
        finally:
            reader.stop()
            for problem in reader.stuck[:1]:
                self.tally.refused(0, problem, self._clock.now())
            chunks.close()
            self._readers.discard(reader)
            os.close(folder_fd)

    async def _commit(self, reader: QueueReader, chunk: Chunk) -> None:
        if chunk.wishes:
            await self._intake.add(chunk.wishes, source=NAME)
        taken = [read for read in chunk.files if read.tasks and not read.file.is_committed]
        for read, retired in await anyio.to_thread.run_sync(reader.finish, chunk.files):
            self._files.pop(read.file.name, None)
            if retired is not None:
                self._files[retired.name] = retired
            self._count(read)
        if taken:
            tasks = sum(read.tasks for read in taken)
            log.info("queue.taken", files=len(taken), tasks=tasks, first=escaped(taken[0].file.name))

    def _count(self, read: ReadFile) -> None:
        self.tally.taken += read.tasks
        reason = read.refused or (read.rest.first if read.rest.count else None)
        if reason is not None:
            name = escaped(read.file.name)
            self.tally.refused(max(read.rest.count, 1), f"{name}: {reason}", self._clock.now())


def in_turn(files: Iterable[QueueFile], *, newest_first: bool = False) -> list[QueueFile]:
    """Files with the oldest first. If one scan cannot take all of them, the oldest and the newest alternate, so that a
    new file does not wait for ten thousand others. `newest_first` matters if a scan takes only one file."""
    oldest = sorted(files, key=lambda file: file.state.mtime_ns)
    if len(oldest) <= MOST_FILES and sum(file.state.size_bytes for file in oldest) <= SMALL_BYTES:
        return oldest
    ends = (oldest[::-1], oldest) if newest_first else (oldest, oldest[::-1])
    pairs = zip(*ends, strict=True)
    return list(itertools.chain.from_iterable(pairs))[: len(oldest)]
