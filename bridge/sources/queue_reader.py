"""Reads files of the queue folder, chunk by chunk, and removes or rejects them when they are committed. Blocks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

from bridge.domain.watch import Wish
from bridge.logs import get_logger
from bridge.sources.parse_process import ParseProcess, ParseStopped, ParseTimeout
from bridge.sources.queue_files import FileState, QueueFile
from bridge.sources.rejects import FOLDER, RejectedFolder, RejectedTasks, escaped
from bridge.sources.task_files import MAX_FILE_BYTES, is_json, may_lack_its_end
from bridge.sources.task_reader import TaskProblem, TaskReader
from bridge.sources.writers import Writers, Writing

MOST_FILES: Final = 200  # maximum number of files in a commit
RETRY_S: Final = 10.0  # retry time after the system refused to open, move or remove a file
FORGOTTEN_S: Final = 60.0  # if a file is open but unchanged for this long, its writer has probably forgotten it
MOST_FAILURES: Final = 2  # failures of the process that reads it, before the file is rejected
RECHECK_S: Final = 0.5  # how often to check again while the file is open for writing

_MAX_WISHES: Final = 1000  # maximum number of wishes in a commit
_MOST_S: Final = 0.25  # maximum time of reading small files for a commit
_BEGIN_BYTES: Final = 4096
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO})  # the file was replaced since the scan
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})

log = get_logger()


@dataclass(slots=True)
class ReadFile:
    """A file that is being read: the number of its valid tasks, and the invalid ones."""

    file: QueueFile
    rest: RejectedTasks
    is_closed: bool = True  # its writers are known to have closed it
    tasks: int = 0
    refused: str | None = None  # why the whole file is rejected, before or while reading it

    @property
    def is_kept_whole(self) -> bool:
        """Whether it is moved to `rejected/` unchanged."""
        if self.refused is not None or not self.rest.is_complete:
            return True
        return self.tasks == 0 and not self.file.is_read


@dataclass(slots=True)
class Chunk:
    """Wishes for one commit, and the files that are finished with it."""

    wishes: list[Wish] = field(default_factory=list)
    files: list[ReadFile] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.wishes) >= _MAX_WISHES or len(self.files) >= MOST_FILES


class _Changed(Exception):
    """The file has changed since the scan. A later scan will find it."""


class _Unfinished(Exception):
    """The file is still being written, or may be; `until_at` is when to check again."""

    def __init__(self, until_at: float) -> None:
        super().__init__()
        self.until_at = until_at


class _Refused(Exception):
    """The file must not be read; the text is the reason."""


class QueueReader:
    """Reads the ready files in the folder to which `folder_fd` refers."""

    def __init__(self, folder_fd: int, reader: TaskReader, *, writers: Writers, steady: Callable[[], float]) -> None:
        self._folder_fd = folder_fd
        self._reader = reader
        self._rejected = RejectedFolder(folder_fd)
        self._writers = writers
        self._steady = steady
        self._parsing = ParseProcess(steady=steady)
        self.stuck: list[str] = []  # the files that the system did not let it open, move or remove, and why

    def chunks(self, files: Sequence[QueueFile]) -> Generator[Chunk, None, None]:
        """The tasks of these files, read on demand; at most one file is in memory."""
        chunk, until_at = Chunk(), self._steady() + _MOST_S
        for file in files:
            read = ReadFile(file, RejectedTasks(file.suffix))
            try:
                for wish in self._wishes(read):
                    chunk.wishes.append(wish)
                    if chunk.is_full:
                        yield chunk
                        chunk = Chunk()
                if read.rest.count and not read.is_closed:
                    self._wait_until(file.quiet_at)  # its mistakes may only come from being incomplete
            except (_Changed, _Unfinished, _Refused, ParseTimeout, OSError) as error:
                if not self._is_settled(read, error):
                    continue
            chunk.files.append(read)
            if chunk.is_full or self._steady() >= until_at:
                yield chunk
                chunk, until_at = Chunk(), self._steady() + _MOST_S
        if chunk.files or chunk.wishes:
            yield chunk

    def finish(self, files: Sequence[ReadFile]) -> list[tuple[ReadFile, QueueFile | None]]:
        """Remove or reject these files, whose tasks are committed.

        Returns the files that have left the folder. If the second item is not None, the file still exists for a while
        under that temporary name.
        """
        left = []
        for read in files:
            try:
                left.append((read, self._finish(read)))
            except _Changed:
                continue  # it was replaced or written to since it was read, so it will be read again
            except OSError as error:
                read.file.is_committed = True
                self._put_off(read.file, error)
        return left

    def stop(self) -> None:
        """End the reading of a large file, from another thread."""
        self._parsing.stop()

    def _is_settled(self, read: ReadFile, error: Exception) -> bool:
        """Whether the error is final for the file; otherwise the file is read again later."""
        file = read.file
        match error:
            case _Refused() | ParseTimeout():
                read.refused = str(error)
            case ParseStopped() if file.failures >= MOST_FAILURES:
                read.refused = f"{error}, {file.failures + 1} times"
            case _Unfinished(until_at=until_at):
                file.wait_until_at = until_at
                self._report_waiting(file)
            case OSError() if not self._parsing.is_stopped:
                file.failures += isinstance(error, ParseStopped)
                self._put_off(file, error)
        return read.refused is not None

    def _wishes(self, read: ReadFile) -> Iterator[Wish]:
        file = read.file
        if not file.is_regular:
            raise _Refused(_kind_problem(file))
        with os.fdopen(self._opened(file), "rb") as opened:
            _check_same(file, os.fstat(opened.fileno()))
            self._check_closed(read, opened.fileno())
            if file.is_read:
                return
            _check_size(file)
            ends = _ends(opened)
            is_half = not read.is_closed and may_lack_its_end(ends, file.suffix)
            if is_half or ends.endswith(b"\0"):  # a copy to a network folder may allocate the space first
                self._wait_until(file.quiet_at)
            if not file.suffix and not is_json(ends):
                self._check_each(opened, file)
            for entry in self._parsing.read(opened, file.suffix, file.state.size_bytes):
                try:
                    wish = self._reader.read_entry(entry, answers=True)
                except TaskProblem as problem:
                    read.rest.add(entry, str(problem))
                else:
                    read.tasks += 1
                    if not file.is_committed:
                        yield wish
            _check_same(file, os.fstat(opened.fileno()))

    def _check_each(self, opened: BinaryIO, file: QueueFile) -> None:
        """In a file without a suffix, all tasks must be valid, or none is taken."""
        for entry in self._parsing.read(opened, file.suffix, file.state.size_bytes):
            try:
                self._reader.read_entry(entry)
            except TaskProblem as problem:
                why = f"{problem}; a file without suffix must hold a valid id in every line"
                raise _Refused(f"line {entry.line}: {entry.said(why)}") from None

    def _opened(self, file: QueueFile) -> int:
        try:
            return os.open(file.name, _FLAGS, dir_fd=self._folder_fd)
        except OSError as error:
            if error.errno in _GONE:
                raise _Changed from None
            if error.errno in _FORBIDDEN:
                self._check_closed(ReadFile(file, RejectedTasks(file.suffix)), None)
                raise _Refused("not readable; give the service's user or group the right to read it") from None
            raise

    def _check_closed(self, read: ReadFile, file_fd: int | None) -> None:
        """Raise _Unfinished if the file is open for writing, or may be."""
        writing = self._writers.of(read.file.name, file_fd, surely=read.file.is_retired)
        read.is_closed = writing is Writing.DONE
        if writing is Writing.OPEN:
            raise _Unfinished(self._steady() + RECHECK_S)
        if writing is Writing.UNKNOWN:
            self._wait_until(read.file.surely_written_at)

    def _wait_until(self, at: float) -> None:
        if self._steady() < at:
            raise _Unfinished(at)

    def _finish(self, read: ReadFile) -> QueueFile | None:
        """Finish a file. Returns it under its temporary name, or None if it is gone."""
        file, rest = read.file, read.rest
        try:
            _check_same(file, os.stat(file.name, dir_fd=self._folder_fd, follow_symlinks=False))
        except FileNotFoundError:
            raise _Changed from None
        name = escaped(file.name)
        if read.is_kept_whole:
            reason = rest.reason(name, whole=True) if read.refused is None else f"{name}: {read.refused}\n"
            _report_rejected(read, self._rejected.move(file.name, reason))
            return None
        if rest.count and not file.is_rest_kept:
            kept = self._rejected.write(file.name, rest.data(), rest.reason(name, whole=False))
            file.is_rest_kept = True
            _report_rejected(read, kept)
        return self._remove(file)

    def _remove(self, file: QueueFile) -> QueueFile | None:
        """Remove the file, but nothing that has not been read: a program may have opened it since, or still have it
        open.

        First it gets a temporary name, so that no other program opens it. If it is certainly closed then, it is removed
        at once. Otherwise a later scan reads what was added.
        """
        name = file.retired_name
        if not file.is_retired:
            os.rename(file.name, name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        file_fd = os.open(name, _FLAGS, dir_fd=self._folder_fd)
        try:
            is_same = FileState.of(os.fstat(file_fd)) == file.state
            writing = self._writers.of(name, file_fd, surely=True)
        finally:
            os.close(file_fd)
        if is_same and (writing is Writing.DONE or (writing is Writing.UNKNOWN and file.is_retired)):
            os.unlink(name, dir_fd=self._folder_fd)
            return None
        return replace(file, name=name, since_at=self._steady(), is_read=is_same, is_committed=is_same)

    def _report_waiting(self, file: QueueFile) -> None:
        """Log once if a program keeps a file open without writing to it."""
        quiet_s = self._steady() - file.since_at
        if quiet_s >= FORGOTTEN_S and not file.is_reported:
            file.is_reported = True
            log.warning("queue.waiting", name=escaped(file.name), reason="open for writing", unchanged_s=round(quiet_s))

    def _put_off(self, file: QueueFile, error: OSError) -> None:
        file.retry_at = self._steady() + RETRY_S
        name, reason = escaped(file.name), error.strerror or str(error)
        if error.filename == FOLDER:
            reason = f"{FOLDER}: {reason}"
        if not file.is_reported:
            log.warning("queue.stuck", name=name, reason=reason, retry_in_s=RETRY_S)
        file.is_reported = True
        self.stuck.append(f"{name} could not be {'moved or removed' if file.is_committed else 'read'}: {reason}")


def _kind_problem(file: QueueFile) -> str:
    """Why this entry is not opened at all."""
    if stat.S_ISLNK(file.mode):
        return "a symbolic link; drop the file itself"
    return "a folder; drop its files" if stat.S_ISDIR(file.mode) else "not a regular file"


def _ends(opened: BinaryIO) -> bytes:
    """The beginning and the last byte, which show the syntax and whether the last line is complete."""
    begin = opened.read(_BEGIN_BYTES)
    opened.seek(-1, os.SEEK_END)
    return begin + opened.read(1)


def _check_size(file: QueueFile) -> None:
    if file.state.size_bytes == 0:
        raise _Refused("the file is empty")
    if file.state.size_bytes > MAX_FILE_BYTES:
        raise _Refused(f"{file.state.size_bytes} bytes; at most {MAX_FILE_BYTES} are allowed: split it")


def _check_same(file: QueueFile, found: os.stat_result) -> None:
    if FileState.of(found) != file.state or stat.S_IFMT(found.st_mode) != stat.S_IFMT(file.mode):
        raise _Changed


def _report_rejected(read: ReadFile, kept: str) -> None:
    log.warning(
        "queue.rejected",
        name=escaped(read.file.name),
        kept_as=escaped(kept),
        reason=read.refused or read.rest.first,
        problems=max(read.rest.count, 1),
        taken=read.tasks,
    )
