"""Reads the tasks of a file: a small file in this process, a large one in a separate process.

That process reads its stdin and writes the tasks to stdout in packets: four bytes with the length, then a list of
tuples in the format of `marshal`. An empty list marks the end. It imports as little as possible, to save memory.
"""

from __future__ import annotations

import marshal
import os
import resource
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from bridge.sources.entry import Entry
from bridge.sources.task_files import MAX_FILE_BYTES, SMALL_BYTES, read_tasks

LONGEST_S: Final = 600.0  # for one file
LENGTH: Final = struct.Struct(">I")
MOST_ENTRIES: Final = 1000  # tasks per packet
LISTS_ONLY: Final = "lists-only"  # a further argument
_MOST_CHARS: Final = 256 * 1024
_MOST_DATA: Final = 48 << 20  # memory limit
_ALIVE_S: Final = 0.5

_MOST_BYTES: Final = 16 << 20  # maximum size of a packet
_START: Final = "import sys; sys.path[:] = {path!r}; from bridge.sources.parse_process import main; main()"
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")  # variables to pass on; others may contain keys


class ParseStopped(OSError):
    """The process ended before it had read the whole file. This says nothing about the file."""


class ParseTimeout(Exception):
    """The file takes longer than `LONGEST_S` to read."""


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
        """The same in another process."""
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
            raise ParseStopped("the reading process sent invalid data")
        poll = select.poll()
        poll.register(pipe_fd, select.POLLIN)
        parts = bytearray()
        while len(parts) < count:
            if not poll.poll(max(until_at - self._steady(), 0.0) * 1000):
                raise ParseTimeout(f"it takes more than {LONGEST_S:g} s to read; split it")
            part = os.read(pipe_fd, count - len(parts))
            if not part:
                raise ParseStopped("the reading process ended early")
            parts += part
        return bytes(parts)


def main() -> None:
    """Read the file with this suffix. Write an empty list at the end; exit without it if the parent process has
    ended."""
    suffix, lists_only, parent = sys.argv[1], sys.argv[2:] == [LISTS_ONLY], os.getppid()
    for limit, value in ((resource.RLIMIT_DATA, _MOST_DATA), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError):  # the service's system call filter may forbid it
            pass
    signal.signal(signal.SIGALRM, lambda *_: None if os.getppid() == parent else os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, _ALIVE_S, _ALIVE_S)
    with open(0, "rb", closefd=False) as file:
        file.seek(0)
        data = file.read(MAX_FILE_BYTES + 1)
    try:
        for packet in _packets(read_tasks(data, suffix, lists_only=lists_only)):
            _write(packet)
        _write([])
    except BrokenPipeError:
        os._exit(1)


def _packets(entries: Iterator[Entry]) -> Iterator[list[tuple[Any, ...]]]:
    """The tasks as plain tuples."""
    packet: list[tuple[Any, ...]] = []
    chars = 0
    for entry in entries:
        packet.append(tuple(entry))
        chars += len(entry.text or "")
        if len(packet) == MOST_ENTRIES or chars > _MOST_CHARS:
            yield packet
            packet, chars = [], 0
    if packet:
        yield packet


def _write(packet: list[tuple[Any, ...]]) -> None:
    data = marshal.dumps(packet)
    left = memoryview(LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(1, left) :]
