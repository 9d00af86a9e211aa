"""Taking files out of the drop folder: read, hand over chunk by chunk, and finish what has been committed. Blocking."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bridge.domain.watch import Wish
from bridge.logs import get_logger
from bridge.sources.drops import Drop, Mark
from bridge.sources.entry import NO_TASK
from bridge.sources.forms import MAX_FILE_BYTES, read_tasks
from bridge.sources.rejects import Rejects, Rest, escaped
from bridge.sources.tasks import TaskProblem, TaskReader

RETRY_S: Final = 10.0  # after the system refused to open, move or remove a file

_MAX_WISHES: Final = 1000  # of one commit
_MAX_FILES: Final = 200  # of one commit
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO})  # replaced by something else since the scan
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})

log = get_logger()


@dataclass(slots=True)
class Taken:
    """A file being taken: how many good tasks it holds, and the rest."""

    drop: Drop
    rest: Rest
    tasks: int = 0
    refused: str | None = None  # why it is rejected unread


@dataclass(slots=True)
class Chunk:
    """Wishes for one commit, and the files that are complete once it is done."""

    wishes: list[Wish] = field(default_factory=list)
    files: list[Taken] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.wishes) >= _MAX_WISHES or len(self.files) >= _MAX_FILES


class _Changed(Exception):
    """It is not what the scan saw: a later scan will see it anew."""


class _Refused(Exception):
    """It is not to be read; the text is the reason."""


class Taking:
    """One go at the files that are ready, in the folder that `folder_fd` is open on. `now` is for putting off."""

    def __init__(self, folder_fd: int, reader: TaskReader, *, now: float) -> None:
        self._folder_fd = folder_fd
        self._reader = reader
        self._rejects = Rejects(folder_fd)
        self._now = now

    def chunks(self, drops: Sequence[Drop]) -> Iterator[Chunk]:
        """The tasks of these files, read as they are asked for; at most one file is in memory."""
        chunk = Chunk()
        for drop in drops:
            taken = Taken(drop, Rest(drop.suffix))
            try:
                data = self._read(drop)
            except _Changed:
                continue
            except _Refused as refused:
                taken.refused, data = str(refused), b""
            except OSError as error:
                self._put_off(drop, error)
                continue
            for wish in self._wishes(taken, data):
                chunk.wishes.append(wish)
                if chunk.is_full:
                    yield chunk
                    chunk = Chunk()
            chunk.files.append(taken)
            if chunk.is_full:
                yield chunk
                chunk = Chunk()
        if chunk.files:
            yield chunk

    def finish(self, files: Sequence[Taken]) -> list[str]:
        """Remove or reject these files, whose tasks are committed; the names of those that have left the folder."""
        left = []
        for taken in files:
            try:
                if self._finish(taken):
                    left.append(taken.drop.name)
            except OSError as error:
                self._put_off(taken.drop, error)
        return left

    def _wishes(self, taken: Taken, data: bytes) -> Iterator[Wish]:
        if taken.refused is not None:
            return
        for entry in read_tasks(data, taken.drop.suffix):
            try:
                wish = self._reader.read_entry(entry)
            except TaskProblem as problem:
                taken.rest.add(entry, str(problem))
            else:
                taken.tasks += 1
                yield wish

    def _read(self, drop: Drop) -> bytes:
        _check_kind(drop)
        try:
            file_fd = os.open(drop.name, _FLAGS, dir_fd=self._folder_fd)
        except OSError as error:
            if error.errno in _GONE:
                raise _Changed from None
            if error.errno in _FORBIDDEN:
                raise _Refused("not readable; give the service's user or group the right to read it") from None
            raise
        with os.fdopen(file_fd, "rb") as file:
            _check_same(drop, os.fstat(file_fd))
            data = file.read(MAX_FILE_BYTES + 1)
            _check_same(drop, os.fstat(file_fd))
        return data

    def _finish(self, taken: Taken) -> bool:
        """Whether the thing has left the folder; what was replaced since it was read stays."""
        drop, rest = taken.drop, taken.rest
        try:
            _check_same(drop, os.stat(drop.name, dir_fd=self._folder_fd, follow_symlinks=False))
        except (_Changed, FileNotFoundError):
            return False
        name = escaped(drop.name)
        if taken.tasks == 0:
            reason = rest.reason(name, whole=True) if taken.refused is None else f"{name}: {taken.refused}\n"
            kept = self._rejects.move(drop.name, reason)
            _tell_rejected(taken, kept)
            return True
        if rest.count and not drop.is_rest_kept:
            kept = self._rejects.write(drop.name, rest.data(), rest.reason(name, whole=False))
            drop.is_rest_kept = True
            _tell_rejected(taken, kept)
        os.unlink(drop.name, dir_fd=self._folder_fd)
        return True

    def _put_off(self, drop: Drop, error: OSError) -> None:
        drop.not_before_at = self._now + RETRY_S
        if not drop.is_told:
            reason = error.strerror or str(error)
            log.warning("queue.stuck", name=escaped(drop.name), reason=reason, retry_in_s=RETRY_S)
        drop.is_told = True


def _check_kind(drop: Drop) -> None:
    """Raise _Refused for what must not even be opened."""
    if stat.S_ISLNK(drop.mode):
        raise _Refused("a symbolic link; drop the file itself")
    if stat.S_ISDIR(drop.mode):
        raise _Refused("a folder; drop its files")
    if not drop.is_regular:
        raise _Refused("not a regular file")
    if drop.mark.size_bytes == 0:
        raise _Refused(f"empty: {NO_TASK}")
    if drop.mark.size_bytes > MAX_FILE_BYTES:
        raise _Refused(f"{drop.mark.size_bytes} bytes; at most {MAX_FILE_BYTES} are allowed: split it")


def _check_same(drop: Drop, found: os.stat_result) -> None:
    if Mark.of(found) != drop.mark or not stat.S_IFMT(found.st_mode) == stat.S_IFMT(drop.mode):
        raise _Changed


def _tell_rejected(taken: Taken, kept: str) -> None:
    log.warning(
        "queue.rejected",
        name=escaped(taken.drop.name),
        kept_as=escaped(kept),
        reason=taken.refused or taken.rest.first,
        problems=max(taken.rest.count, 1),
        taken=taken.tasks,
    )
