"""Reads the tasks of a file: a small file in this process, a large one in a separate process (see `parse_child`)."""

from __future__ import annotations

import marshal
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from bridge.sources.entry import Entry
from bridge.sources.parse_child import LENGTH, LISTS_ONLY
from bridge.sources.task_files import MAX_FILE_BYTES, SMALL_BYTES, read_tasks

LONGEST_S: Final = 600.0  # for one file

_MOST_BYTES: Final = 16 << 20  # maximum size of a packet
_START: Final = "import sys; sys.path[:] = {path!r}; from bridge.sources.parse_child import main; main()"
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")  # variables to pass on; others may contain keys


class ParseStopped(OSError):
    """The process ended before it had read the whole file. This says nothing about the file."""


class ParseTimeout(Exception):
    """The file takes longer than `LONGEST_S` to read."""

    def __init__(self) -> None:
        super().__init__(f"it takes more than {LONGEST_S:g} s to read; split it")


class ParseProcess:
    """Reads one file at a time. `stop` may be called from any thread."""

    def __init__(self, *, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._process: subprocess.Popen[bytes] | None = None
        self.is_stopped = False

    def read(self, file: BinaryIO, suffix: str, size_bytes: int, *, lists_only: bool = False) -> Iterator[Entry]:
        """The tasks of a file, as `read_tasks` returns them. A large file is read by another process, because polls and
        a stopping daemon must not wait for it. Blocks. ParseStopped, ParseTimeout."""
        if size_bytes > SMALL_BYTES:
            return self.entries(file.fileno(), suffix, lists_only=lists_only)
        file.seek(0)
        return read_tasks(file.read(MAX_FILE_BYTES + 1), suffix, lists_only=lists_only)

    def entries(self, file_fd: int, suffix: str, *, lists_only: bool = False) -> Iterator[Entry]:
        """The same in another process. Consecutive equal ids may be returned once."""
        command = [sys.executable, "-I", "-S", "-c", _START.format(path=sys.path), suffix]
        if lists_only:
            command.append(LISTS_ONLY)
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=file_fd,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # so that Ctrl-C reaches only the daemon, which stops this process
        )
        try:
            if self.is_stopped:
                raise ParseStopped("stopped")
            assert process.stdout is not None
            yield from self._received(process.stdout.fileno())
        finally:
            process.kill()
            process.communicate()

    def stop(self) -> None:
        """End the process; `entries` then raises ParseStopped."""
        self.is_stopped = True
        if self._process is not None:
            self._process.kill()

    def _received(self, pipe_fd: int) -> Iterator[Entry]:
        until_at = self._steady() + LONGEST_S
        while True:
            (length,) = LENGTH.unpack(self._exactly(LENGTH.size, pipe_fd, until_at))
            packet = marshal.loads(self._exactly(length, pipe_fd, until_at))  # noqa: S302 - from our own process
            if not packet:
                return
            yield from map(Entry._make, packet)

    def _exactly(self, count: int, pipe_fd: int, until_at: float) -> bytes:
        if count > _MOST_BYTES:
            raise ParseStopped("the reading process answered nonsense")
        poll = select.poll()
        poll.register(pipe_fd, select.POLLIN)
        parts = bytearray()
        while len(parts) < count:
            if not poll.poll(max(until_at - self._steady(), 0.0) * 1000):
                raise ParseTimeout
            part = os.read(pipe_fd, count - len(parts))
            if not part:
                raise ParseStopped("the reading process ended early")
            parts += part
        return bytes(parts)
