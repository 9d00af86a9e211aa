"""The folder `rejected/` beside the tasks: what could not be taken, each file with its reason beside it."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Final

from bridge.domain.text import printable
from bridge.sources.entry import NO_TASK, Entry

FOLDER: Final = "rejected"
REASON_SUFFIX: Final = ".reason"

_MAX_NAME_BYTES: Final = 255  # of the usual file systems
_MAX_SUFFIX_CHARS: Final = 8
_MAX_REASONS: Final = 100  # written for one file; further ones are counted
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def escaped(name: str) -> str:
    """A file's name for one line of a message, whatever bytes it has."""
    return printable(os.fsencode(name).decode(errors="backslashreplace"))


class Rest:
    """The tasks of one file that cannot be taken, as a file of the same form, and why.

    Holds no more than the file did, however many of its tasks are bad.
    """

    def __init__(self, suffix: str) -> None:
        self._is_list = suffix == ".json"
        self._bullet = "- " if suffix in {".yaml", ".yml"} else ""
        self._data = bytearray(b"[\n" if self._is_list else b"")
        self._line = 2 if self._is_list else 1
        self._problems: list[tuple[int, int, str]] = []  # line in the file, line in the rest, problem
        self.count = 0

    def add(self, entry: Entry, problem: str) -> None:
        """Keep a task with its problem."""
        if len(self._problems) < _MAX_REASONS:
            self._problems.append((entry.line, self._line, problem))
        if self._is_list and self.count:
            self._data[-1:] = b",\n"
        task = f"{self._bullet}{entry.text}\n".encode(errors="surrogateescape")
        self._data += task
        self._line += task.count(b"\n")
        self.count += 1

    @property
    def first(self) -> str:
        """The first problem, with its line in the file."""
        return f"line {self._problems[0][0]}: {self._problems[0][2]}" if self._problems else NO_TASK

    def data(self) -> bytes:
        """The tasks, ready to be mended and dropped again."""
        return bytes(self._data) + (b"]\n" if self._is_list else b"")

    def reason(self, name: str, *, whole: bool) -> str:
        """A line for each problem; lines count in the file itself when it is rejected `whole`, else in `data`."""
        if not self._problems:
            return f"{name}: {NO_TASK}\n"
        lines = [f"{name}:{mine if whole else rest}: {problem}\n" for mine, rest, problem in self._problems]
        more = self.count - len(lines)
        return "".join([*lines, f"... and {more} more\n" if more else ""])


class Rejects:
    """Moves things out of an open folder into its `rejected/`, never over something that is there.

    Every method raises OSError when the folder does not allow it; nothing has been moved then.
    """

    def __init__(self, folder_fd: int) -> None:
        self._folder_fd = folder_fd

    def move(self, name: str, reason: str) -> str:
        """Put the thing itself there, unread and unfollowed; the name it has there."""
        with self._opened() as into_fd:
            kept = _claim(into_fd, name, reason)
            try:
                os.rename(name, kept, src_dir_fd=self._folder_fd, dst_dir_fd=into_fd)
            except OSError:
                os.unlink(kept + REASON_SUFFIX, dir_fd=into_fd)
                raise
            return kept

    def write(self, name: str, data: bytes, reason: str) -> str:
        """Put a new file there, synced to disk; the name it has there."""
        with self._opened() as into_fd:
            kept = _claim(into_fd, name, reason)
            try:
                _write(into_fd, kept, data, synced=True)
            except OSError:
                os.unlink(kept + REASON_SUFFIX, dir_fd=into_fd)
                raise
            os.fsync(into_fd)
            return kept

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """`rejected/`, made with the folder's own permissions if need be. A link of that name is not followed."""
        try:
            os.mkdir(FOLDER, 0o700, dir_fd=self._folder_fd)
            is_new = True
        except FileExistsError:
            is_new = False
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        into_fd = os.open(FOLDER, flags, dir_fd=self._folder_fd)
        try:
            if is_new:  # whoever may drop files may fetch them back, whatever the umask
                os.fchmod(into_fd, stat.S_IMODE(os.fstat(self._folder_fd).st_mode))
            yield into_fd
        finally:
            os.close(into_fd)


def _claim(into_fd: int, name: str, reason: str) -> str:
    """A name that is free there, made ours by writing its reason."""
    text = reason.encode(errors="backslashreplace")
    for kept in _candidates(name):
        if _exists(into_fd, kept):
            continue
        try:
            _write(into_fd, kept + REASON_SUFFIX, text, synced=False)
        except FileExistsError:
            continue
        return kept
    raise AssertionError("names never run out")


def _candidates(name: str) -> Iterator[str]:
    """The name itself, then numbered, shortened where it would grow too long; the suffix stays."""
    suffix = PurePath(name).suffix
    if len(suffix) > _MAX_SUFFIX_CHARS:
        suffix = ""
    stem = os.fsencode(name.removesuffix(suffix))
    for number in itertools.count():
        tail = os.fsencode(f"-{number}{suffix}" if number else suffix)
        room = _MAX_NAME_BYTES - len(tail) - len(REASON_SUFFIX)
        yield os.fsdecode(stem[: max(room, 1)] + tail)


def _exists(into_fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=into_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


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
