"""The folder `rejected/`: rejected files, each with its reasons in a second file."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Final

from bridge.domain.quoting import printable
from bridge.sources.entry import NO_TASK, Entry

FOLDER: Final = "rejected"
REASON_SUFFIX: Final = ".reason"

_MAX_NAME_BYTES: Final = 255  # limit of the usual file systems
_MAX_SUFFIX_CHARS: Final = 8
_MAX_REASONS: Final = 100  # maximum that is written for one file; further ones are counted
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def escaped(name: str) -> str:
    """The name of a file for a one-line message. The name may contain any bytes."""
    return printable(os.fsencode(name).decode(errors="backslashreplace"))


def count_rejected(folder: Path, *, most: int = 10_000) -> tuple[int, float | None]:
    """The number of files in the folder `rejected/` of a queue folder, up to `most`, and the time of the last one. 0
    and None if there are none, or if the folder cannot be read."""
    found, last_at = 0, None
    with suppress(OSError), os.scandir(folder / FOLDER) as files:
        for file in itertools.islice(files, 2 * most):
            if not file.name.endswith(REASON_SUFFIX) and file.is_file(follow_symlinks=False):
                found += 1
                last_at = max(last_at or 0.0, file.stat(follow_symlinks=False).st_ctime)
    return min(found, most), last_at


class RejectedTasks:
    """The rejected tasks of one file, as a file with the same syntax, and the reasons.

    It is never larger than the original file.
    """

    def __init__(self, suffix: str) -> None:
        self._is_list = suffix == ".json"
        self._bullet = "- " if suffix in {".yaml", ".yml"} else ""
        self._data = bytearray(b"[\n" if self._is_list else b"")
        self._line = 2 if self._is_list else 1
        self._problems: list[tuple[Entry, int, str]] = []  # entry, line in this file, problem
        self.count = 0
        self.is_complete = True  # False: the original file must be kept

    def add(self, entry: Entry, problem: str) -> None:
        if entry.head and not self._data:
            head = f"{entry.head}\n".encode()
            self._data += head
            self._line += head.count(b"\n")
        if len(self._problems) < _MAX_REASONS:
            self._problems.append((Entry(line=entry.line, number=entry.number, text=None), self._line, problem))
        if self._is_list and len(self._data) > 2:
            self._data[-1:] = b",\n"
        self.count += 1
        if entry.text is None:
            self.is_complete = False
            return
        task = f"{self._bullet}{entry.text}\n".encode(errors="surrogateescape")
        self._data += task
        self._line += task.count(b"\n")

    @property
    def first(self) -> str:
        """The first problem, with its line in the file."""
        if not self._problems:
            return NO_TASK
        entry, _, problem = self._problems[0]
        return f"line {entry.line}: {entry.said(problem)}"

    def data(self) -> bytes:
        """The content of the file with the rejected tasks, to be corrected and dropped into the queue again."""
        return bytes(self._data) + (b"]\n" if self._is_list else b"")

    def reason(self, name: str, *, whole: bool) -> str:
        """One line for each problem. If the file is rejected `whole`, line numbers are those of the file. Otherwise
        they are those of `data`, with the line in the original file at the end."""
        if not self._problems:
            return f"{name}: {NO_TASK}\n"
        lines = []
        for entry, rest, problem in self._problems:
            if whole:
                lines.append(f"{name}:{entry.line}: {entry.said(problem)}\n")
                continue
            task = f", task {entry.number}," if entry.number else ""
            was = f" (line {entry.line}{task} of the dropped file)" if task or entry.line != rest else ""
            lines.append(f"{name}:{rest}: {problem}{was}\n")
        more = self.count - len(lines)
        return "".join([*lines, f"... and {more} more\n" if more else ""])


class RejectedFolder:
    """Moves files out of an open folder into its `rejected/` and never overwrites one.

    If the folder does not allow it, every method raises OSError, and nothing has been moved.
    """

    def __init__(self, folder_fd: int) -> None:
        self._folder_fd = folder_fd

    def move(self, name: str, reason: str) -> str:
        """Move the file itself there without reading it; a link is not followed. Returns its new name."""
        with self._claimed(name, reason) as (into_fd, kept):
            os.rename(name, kept, src_dir_fd=self._folder_fd, dst_dir_fd=into_fd)
        return kept

    def write(self, name: str, data: bytes, reason: str) -> str:
        """Write a new file there, synced to disk. Returns its name."""
        with self._claimed(name, reason) as (into_fd, kept):
            _write(into_fd, kept, data, synced=True)
            os.fsync(into_fd)
        return kept

    @contextmanager
    def _claimed(self, name: str, reason: str) -> Iterator[tuple[int, str]]:
        """The folder, and a free name in it. The reasons are written first, and removed if the rest fails."""
        with self._opened() as into_fd:
            kept = _claim(into_fd, name, reason)
            try:
                yield into_fd, kept
            except OSError:
                os.unlink(kept + REASON_SUFFIX, dir_fd=into_fd)
                raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """`rejected/`; if it is missing, it is created with the permissions of its parent folder. A link is not
        followed."""
        try:
            os.mkdir(FOLDER, 0o700, dir_fd=self._folder_fd)
            is_new = True
        except FileExistsError:
            is_new = False
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        into_fd = os.open(FOLDER, flags, dir_fd=self._folder_fd)
        try:
            if is_new:  # so that users who may drop files may take them back, regardless of the umask
                os.fchmod(into_fd, stat.S_IMODE(os.fstat(self._folder_fd).st_mode))
            yield into_fd
        finally:
            os.close(into_fd)


def _claim(into_fd: int, name: str, reason: str) -> str:
    """A free name there. Writing the file with the reasons reserves it."""
    text = reason.encode(errors="backslashreplace")
    for kept in _candidates(name):
        if os.access(kept, os.F_OK, dir_fd=into_fd, follow_symlinks=False):
            continue
        try:
            _write(into_fd, kept + REASON_SUFFIX, text, synced=False)
        except FileExistsError:
            continue
        return kept
    raise AssertionError("names never run out")


def _candidates(name: str) -> Iterator[str]:
    """The name itself, then names with numbers. Long names are shortened; the suffix stays."""
    suffix = PurePath(name).suffix
    if len(suffix) > _MAX_SUFFIX_CHARS:
        suffix = ""
    stem = os.fsencode(name.removesuffix(suffix))
    for number in itertools.count():
        tail = os.fsencode(f"-{number}{suffix}" if number else suffix)
        room = _MAX_NAME_BYTES - len(tail) - len(REASON_SUFFIX)
        yield os.fsdecode(stem[: max(room, 1)] + tail)


def _write(into_fd: int, name: str, data: bytes, *, synced: bool) -> None:
    """A whole new file, or none."""
    file_fd = os.open(name, _NEW, 0o660, dir_fd=into_fd)
    try:
        with os.fdopen(file_fd, "wb") as file:
            file.write(data)
            if synced:
                file.flush()
                os.fsync(file_fd)
    except OSError:
        os.unlink(name, dir_fd=into_fd)
        raise
