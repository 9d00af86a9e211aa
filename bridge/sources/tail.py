"""A growing text file, read from the end of the last read. Blocks."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

MAX_LINE_BYTES: Final = 1024 * 1024

_WINDOW_BYTES: Final = 64 * 1024  # bytes per read, so that a commit contains some thousand lines
_PRINT_BYTES: Final = 4096
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Position(NamedTuple):
    """How far a file has been read. `fingerprint` is a hash of the last bytes before `offset`, which identify the file.
    `lines` is the number of lines so far. `is_skipping`: `offset` is inside a line that is too long."""

    inode: int
    offset: int = 0
    lines: int = 0
    is_skipping: bool = False
    fingerprint: str = ""

    def to_text(self) -> str:
        """The position as text, for the cursor in the store."""
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> Position | None:
        """The inverse of `to_text`; None if this version cannot read the text."""
        try:
            return cls._make(json.loads(text))
        except (ValueError, TypeError):
            return None


class Line(NamedTuple):
    """One complete line without its newline; None for one that is too long."""

    number: int
    raw: bytes | None


class Tail:
    """One open file. Its `position` says how far it has been read; `take` does not change it."""

    def __init__(self, file_fd: int) -> None:
        self._file_fd = file_fd
        self.position = Position(inode=os.fstat(file_fd).st_ino)
        self._unended: tuple[int, int] | None = None  # size and mtime with an incomplete last line ...
        self._unended_at = 0.0  # ... and when that was
        self._checked: tuple[int, ...] | None = None  # size and times at the last check of the fingerprint

    @classmethod
    def open(cls, path: Path) -> Tail:
        """OSError if the path is not a readable regular file."""
        file_fd = os.open(path, _FLAGS)
        if not stat.S_ISREG(os.fstat(file_fd).st_mode):
            os.close(file_fd)
            raise OSError(f"{path.name} is not a regular file")
        return cls(file_fd)

    def close(self) -> None:
        os.close(self._file_fd)

    def resume(self, position: Position) -> bool:
        """Continue from `position` if the file still begins with the same content, even if its inode differs. Returns
        whether the content is the same."""
        size_bytes = os.fstat(self._file_fd).st_size
        if size_bytes < position.offset or self._fingerprint(position.offset) != position.fingerprint:
            return False
        self.position = position._replace(inode=self.position.inode)
        return True

    def is_rewritten(self) -> bool:
        """Whether the part that was already read has changed: the file was truncated, or contains other bytes."""
        found = os.fstat(self._file_fd)
        if found.st_size < self.position.offset:
            return True
        mark = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if mark == self._checked:
            return False
        self._checked = mark
        return self._fingerprint(self.position.offset) != self.position.fingerprint

    def restart(self) -> None:
        """Start again at the first byte."""
        self.position = Position(inode=self.position.inode)

    def is_at(self, path: Path) -> bool:
        """Whether `path` still refers to this file. OSError if there is no such file."""
        mine, there = os.fstat(self._file_fd), path.stat()
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def take(self, *, unended: bool = False) -> tuple[list[Line], Position]:
        """The next complete lines, and the position after them; the same position if there are none.

        With `unended`, the text after the last newline counts as a line, too. Memory use is limited to about a
        mebibyte, however long a line is.
        """
        position = self.position
        data = os.pread(self._file_fd, _WINDOW_BYTES, position.offset)
        if len(data) == _WINDOW_BYTES and b"\n" not in data:
            data = os.pread(self._file_fd, MAX_LINE_BYTES + 1, position.offset)
        lines: list[Line] = []
        is_skipping = False
        if position.is_skipping:
            end = data.find(b"\n") + 1
            used, is_skipping = end or len(data), not end
        elif b"\n" in data:
            *raws, _ = data.split(b"\n")
            lines = [Line(number, raw) for number, raw in enumerate(raws, start=position.lines + 1)]
            used = data.rfind(b"\n") + 1
        elif len(data) > MAX_LINE_BYTES:
            lines, used, is_skipping = [Line(position.lines + 1, None)], len(data), True
        elif unended and data:
            lines, used = [Line(position.lines + 1, data)], len(data)
        else:
            used = 0
        if not used:
            return [], position
        offset = position.offset + used
        after = Position(
            inode=position.inode,
            offset=offset,
            lines=position.lines + len(lines),
            is_skipping=is_skipping,
            fingerprint=self._fingerprint(offset),
        )
        return lines, after

    def unended_for_s(self, now: float) -> float | None:
        """How long the text after the last newline has not changed; None if there is none."""
        found = os.fstat(self._file_fd)
        if found.st_size <= self.position.offset:
            return None
        mark = (found.st_size, found.st_mtime_ns)
        if mark != self._unended:
            self._unended, self._unended_at = mark, now
        return now - self._unended_at

    def _fingerprint(self, offset: int) -> str:
        size_bytes = min(offset, _PRINT_BYTES)
        if not size_bytes:
            return ""
        return hashlib.sha256(os.pread(self._file_fd, size_bytes, offset - size_bytes)).hexdigest()[:32]


def find_by_inode(folder: Path, position: Position) -> Tail | None:
    """The file that was being read, under its current name in the folder; None if it is gone."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.inode() == position.inode and not entry.is_symlink()]
    for name in names:
        try:
            tail = Tail.open(folder / name)
        except OSError:
            continue
        if tail.resume(position):
            return tail
        tail.close()
    return None
