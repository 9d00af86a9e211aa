"""The process that reads a large task file, so that the daemon does not have to wait.

It reads its stdin and writes the tasks to stdout in packets: four bytes with the length, then a list of tuples in the
format of `marshal`. An empty list marks the end. The process imports as little as possible, to save memory.
"""

from __future__ import annotations

import marshal
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any, Final

from bridge.sources.entry import Entry
from bridge.sources.task_files import MAX_FILE_BYTES, read_tasks

LENGTH: Final = struct.Struct(">I")
MOST_ENTRIES: Final = 1000  # tasks per packet
LISTS_ONLY: Final = "lists-only"  # a further argument

_MOST_CHARS: Final = 256 * 1024
_MOST_DATA: Final = 48 << 20  # memory limit
_ALIVE_S: Final = 0.5


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
    """Each task as a plain tuple. A bare id that is already in the current packet is left out."""
    packet: list[tuple[Any, ...]] = []
    ids: set[str] = set()
    chars = 0
    for entry in entries:
        if entry.problem is None and isinstance(entry.value, str):
            if entry.value in ids:
                continue
            ids.add(entry.value)
        packet.append(tuple(entry))
        chars += len(entry.text or "")
        if len(packet) == MOST_ENTRIES or chars > _MOST_CHARS:
            yield packet
            packet, chars = [], 0
            ids.clear()
    if packet:
        yield packet


def _write(packet: list[tuple[Any, ...]]) -> None:
    data = marshal.dumps(packet)
    left = memoryview(LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(1, left) :]
