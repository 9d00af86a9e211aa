"""Linux's notifications about one folder: which names were changed, opened, closed, moved. Never blocks. See
inotify(7)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from enum import IntFlag
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_AT_ONCE: Final = 64 * 1024
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class What(IntFlag):
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


class FolderNotices:
    """The notifications of one folder, for the `wanted` bits. OSError if the kernel cannot provide any."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._called(self._libc.inotify_init1(_FLAGS))
        self._watch = -1

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def listen_to(self, folder: Path) -> bool:
        """Listen to this folder. Returns whether the folder is new: the first one, or a different one than before."""
        watch = self._called(self._libc.inotify_add_watch(self._fd, os.fsencode(folder), self._wanted))
        before, self._watch = self._watch, watch
        if before not in {-1, watch}:
            self._libc.inotify_rm_watch(self._fd, before)
        return watch != before

    def read(self) -> Iterator[tuple[What, int, str]]:
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
                    yield What(mask & 0xFFF8), cookie, os.fsdecode(data[start:place].rstrip(b"\0"))

    @staticmethod
    def _called(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno() or errno.EIO
            raise OSError(number, os.strerror(number))
        return result
