"""Finds out whether a file in the queue folder is still open for writing.

The kernel refuses a read lease while a file is open for writing. Only the file's owner and root can get a lease. For
files of other users, notifications show what was opened and closed since the daemon started. If neither helps (network
folders, other users' files that already existed), only the time without a change counts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from bridge.sources.folder_notices import FolderNotices, What

_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM})
_WANTED: Final = 0x3F8  # all bits from OPENED to DELETED


class Writing(StrEnum):
    """Whether a program is writing to a file, as far as known."""

    DONE = "done"
    OPEN = "open"
    UNKNOWN = "unknown"


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
        self._notices: FolderNotices | None = None
        try:
            self._notices = FolderNotices(_WANTED)
        except OSError:
            pass

    def close(self) -> None:
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    @property
    def way(self) -> str:
        """How open files are detected, for `status`."""
        ways = ["leases" if os.geteuid() == 0 else "leases (own files)"] if self._has_leases else []
        if self._notices is not None and ways != ["leases"]:
            ways.append("close notifications (files written while genbridge runs)")
        return f"open files are detected by {' and '.join(ways)}" if ways else "open files cannot be detected here"

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

    def _take(self, what: What, cookie: int, name: str) -> None:
        uses = self._uses.get(name)
        if what & (What.OVERFLOW | What.IGNORED):
            self._uses.clear()
        elif what & What.CREATED:
            self._uses[name] = _Uses()
        elif what & What.MOVED_TO:
            self._uses.pop(name, None)
            if cookie in self._moving:
                self._uses[name] = self._moving.pop(cookie)
        elif what & (What.MOVED_FROM | What.DELETED):
            self._uses.pop(name, None)
            self._moving = {cookie: uses} if uses is not None and what & What.MOVED_FROM else {}
        elif uses is not None:
            uses.opened += bool(what & What.OPENED)
            uses.closed += bool(what & (What.CLOSED | What.CLOSED_WRITTEN))
            uses.written += bool(what & What.CLOSED_WRITTEN)

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
