"""Finds out whether a file in the queue folder is still open for writing.

The kernel refuses a read lease while a file is open for writing. Only the file's owner and root can get a lease. For
files of other users, notifications show what was opened and closed since the daemon started. If neither helps (network
folders, other users' files that already existed), only the time without a change counts.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from pathlib import Path
from typing import Final

_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM})
_HEAD: Final = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_AT_ONCE: Final = 64 * 1024
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class Writing(StrEnum):
    """Whether a program is writing to a file, as far as known."""

    DONE = "done"
    OPEN = "open"
    UNKNOWN = "unknown"


class _What(IntFlag):
    """The kernel's event bits."""

    CLOSED_WRITTEN = 0x8
    CLOSED = 0x10
    OPENED = 0x20
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATED = 0x100
    DELETED = 0x200
    OVERFLOW = 0x4000
    IGNORED = 0x8000


_WANTED: Final = 0x3F8  # all bits from OPENED to DELETED


class _FolderNotices:
    """Linux's notifications of one folder: which names were opened, closed, moved. Never blocks. OSError if the kernel
    cannot provide any. See inotify(7)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._called(self._libc.inotify_init1(_FLAGS))
        self._watch = -1

    def close(self) -> None:
        os.close(self._fd)

    def listen_to(self, folder: Path) -> bool:
        """Listen to this folder. Returns whether the folder is new: the first one, or a different one than before."""
        watch = self._called(self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _WANTED))
        before, self._watch = self._watch, watch
        if before not in {-1, watch}:
            self._libc.inotify_rm_watch(self._fd, before)
        return watch != before

    def read(self) -> Iterator[tuple[_What, int, str]]:
        """The notifications since the last call: what happened, the cookie (the same for both events of a move), and
        the name."""
        while True:
            try:
                data = os.read(self._fd, _AT_ONCE)
            except BlockingIOError:
                return
            place = 0
            while place < len(data):
                watch, mask, cookie, length = _HEAD.unpack_from(data, place)
                start = place + _HEAD.size
                place = start + length
                if watch in {self._watch, -1}:
                    yield _What(mask & 0xFFF8), cookie, os.fsdecode(data[start:place].rstrip(b"\0"))

    @staticmethod
    def _called(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno() or errno.EIO
            raise OSError(number, os.strerror(number))
        return result


@dataclass(slots=True)
class _Uses:
    """How often a file that was created while genbridge listened was opened and closed."""

    opened: int = 0
    closed: int = 0
    written: int = 0  # number of times it was closed after being open for writing


class Writers:
    """Uses leases and notifications for the files of one folder."""

    def __init__(self) -> None:
        self._uses: dict[str, _Uses] = {}
        self._moving: dict[int, _Uses] = {}
        self._has_leases = True
        self._notices: _FolderNotices | None = None
        try:
            self._notices = _FolderNotices()
        except OSError:
            pass

    def close(self) -> None:
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    @property
    def way(self) -> str:
        """How open files are detected, for `status`."""
        if self._has_leases and os.geteuid() == 0:
            return "open files are detected by leases"
        if self._has_leases and self._notices is None:
            return "open files are detected by leases (own files)"
        if self._has_leases:
            return (
                "open files are detected by leases (own files) and close notifications"
                " (files written while genbridge runs)"
            )
        if self._notices is not None:
            return "open files are detected by close notifications (files written while genbridge runs)"
        return "open files cannot be detected here"

    def look(self, folder: Path) -> None:
        """Read the notifications about the folder."""
        if self._notices is None:
            return
        try:
            if self._notices.listen_to(folder):
                self._uses.clear()
            for notice in self._notices.read():
                self._take(*notice)
        except OSError:  # the folder is gone, or the limit of watches is reached
            self._uses.clear()

    def of(self, name: str, file_fd: int | None, *, surely: bool = False) -> Writing:
        """Whether the file is being written to. `file_fd` is open on it for reading.

        With `surely`, a notification that everybody has closed it is not enough: the kernel merges two equal
        notifications, so a second writer may have gone unnoticed.
        """
        by_lease = Writing.UNKNOWN if file_fd is None else self._leased(file_fd)
        if by_lease is not Writing.UNKNOWN:
            return by_lease
        noticed = self._noticed(name)
        return Writing.UNKNOWN if surely and noticed is Writing.DONE else noticed

    def _take(self, what: _What, cookie: int, name: str) -> None:
        uses = self._uses.get(name)
        if what & (_What.OVERFLOW | _What.IGNORED):
            self._uses.clear()
        elif what & _What.CREATED:
            self._uses[name] = _Uses()
        elif what & _What.MOVED_TO:
            self._uses.pop(name, None)
            if cookie in self._moving:
                self._uses[name] = self._moving.pop(cookie)
        elif what & (_What.MOVED_FROM | _What.DELETED):
            self._uses.pop(name, None)
            self._moving = {cookie: uses} if uses is not None and what & _What.MOVED_FROM else {}
        elif uses is not None:
            uses.opened += bool(what & _What.OPENED)
            uses.closed += bool(what & (_What.CLOSED | _What.CLOSED_WRITTEN))
            uses.written += bool(what & _What.CLOSED_WRITTEN)

    def _noticed(self, name: str) -> Writing:
        uses = self._uses.get(name)
        if uses is None or not uses.opened:
            return Writing.UNKNOWN
        if not uses.written:
            return Writing.OPEN
        return Writing.DONE if uses.opened == uses.closed else Writing.UNKNOWN  # perhaps open for reading only

    def _leased(self, file_fd: int) -> Writing:
        try:
            # If a process opens the file for writing during the lease, the kernel sends a signal. SIGIO would end the
            # process; SIGURG is ignored by default.
            fcntl.fcntl(file_fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file_fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return Writing.OPEN
            self._has_leases = self._has_leases and error.errno in _REFUSED
            return Writing.UNKNOWN
        fcntl.fcntl(file_fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return Writing.DONE
