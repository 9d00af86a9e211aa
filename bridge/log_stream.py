"""Standard error for logs. A line that cannot be written is dropped and counted.

A full disk, a closed terminal, or a pipe whose reader has stopped must neither end nor block the daemon.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import stat
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDERR: Final = 2
MAX_WAIT_MS: Final = 250  # for a reader that has kept up so far; for a slow reader there is no wait


class LogStream(io.RawIOBase):
    """Writes to a descriptor. `write` never raises, and waits at most `MAX_WAIT_MS` for a slow reader.

    When writing works again, a line that was written in part is completed first. Then a line from `describe` reports
    the number of dropped lines and the reason.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.describe: Callable[[int, str], str] = _plain_notice
        self._descriptor = descriptor
        self._out, self._chunk = _opened(descriptor)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLOUT)
        self._wait_ms = MAX_WAIT_MS
        self._lock = threading.RLock()  # reentrant, because a signal handler may log while its own thread does
        self._dropped = 0  # number of lines since writing last worked
        self._reason = ""
        self._rest = b""  # the rest of a line that was written in part

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write the data, or drop it and count its lines."""
        lines = bytes(data)
        with self._lock:
            if self._catch_up():
                self._keep(lines, self._push(lines))
            else:
                self._dropped += lines.count(b"\n")
        return len(lines)

    def catch_up(self) -> None:
        """If lines were dropped and writing works again, write how many."""
        with self._lock:
            self._catch_up()

    def _catch_up(self) -> bool:
        """Write what is pending; returns whether everything has been written."""
        if self._rest:
            self._rest = self._rest[self._push(self._rest) :]
        if self._dropped and not self._rest:
            notice = self.describe(self._dropped, self._reason).encode(errors="backslashreplace")
            done = self._push(notice)
            if not done:
                return False
            self._dropped = 0
            self._keep(notice, done)
        return not self._rest

    def _push(self, data: bytes) -> int:
        """Write as much as possible now; returns the number of bytes."""
        done = 0
        try:
            while done < len(data):
                if not self._poll.poll(self._wait_ms):
                    raise BlockingIOError
                done += os.write(self._out, data[done : done + (self._chunk or len(data))])
        except BlockingIOError:
            self._reason, self._wait_ms = "the reader does not keep up", 0
        except OSError as error:
            self._reason = error.strerror or type(error).__name__
        else:
            self._wait_ms = MAX_WAIT_MS
        return done

    def _keep(self, data: bytes, done: int) -> None:
        """After a write of `done` bytes: keep the rest of a line that was written in part, otherwise drop the data."""
        if done:
            self._rest = data[done:]
        else:
            self._dropped += data.count(b"\n")


def guard_stderr() -> None:
    """Send everything that this process writes to `sys.stderr` through a `LogStream`.

    A closed standard descriptor is opened on /dev/null. Otherwise a socket or file could get its number, and the log
    would be written to it.
    """
    for number in (0, 1, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    stream = LogStream(STDERR)
    atexit.register(stream.catch_up)
    encoding = sys.stderr.encoding if sys.stderr is not None else "utf-8"
    sys.stderr = io.TextIOWrapper(stream, encoding=encoding, errors="backslashreplace", line_buffering=True)


def _opened(descriptor: int) -> tuple[int, int | None]:
    """The descriptor to write to, and how many bytes to write at a time (None: all).

    Pipes and terminals are opened again, so that only this descriptor is non-blocking: all processes with the same
    descriptor share that flag. Where that is impossible, and for sockets, each write is small enough to fit whenever
    `poll` reports room.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor, None
    if stat.S_ISFIFO(mode) or os.isatty(descriptor):
        try:
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return descriptor, select.PIPE_BUF
        return again, select.PIPE_BUF
    return descriptor, select.PIPE_BUF


def _plain_notice(count: int, reason: str) -> str:
    return f"genbridge: log lines dropped: {count} ({reason})\n"
