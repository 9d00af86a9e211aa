"""A file while it is downloaded: can be resumed after crashes, and is hashed and synced as it grows."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from bridge.archive.folder import FILE_MODE, make_folder, sync_folder
from bridge.domain.content_sniffing import HEAD_BYTES

SYNC_EVERY: Final = 64 << 20  # bytes that a power failure can lose
NOTE_EVERY: Final = 4 << 20  # bytes that a crash of the process can lose
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
READ_BYTES: Final = 1 << 20


class PartTaken(Exception):
    """Another process is downloading this file."""


class PartFile:
    """One unfinished file. Every call blocks and may raise OSError. Use it in a `with` statement.

    A note beside the file says how much was written and synced, and has the URL, the server's validator (ETag or
    Last-Modified) and the length of the complete file, if the server stated it (`whole_bytes`). After a restart of the
    machine, only the synced part is used again, because the rest may be damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._note: Final = path.with_name(path.name + ".json")
        self._file = -1
        self._hash = hashlib.sha256()
        self._noted = self._synced = 0
        self._url = self._validator = ""
        self.whole_bytes: int | None = None
        self.bytes = 0
        self.head = b""

    def __enter__(self) -> PartFile:
        """Open the file as empty; `resume` restores its former content. PartTaken if another process has it."""
        make_folder(self.path.parent)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise PartTaken(str(self.path)) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and keep it."""
        os.close(self._file)
        self._file = -1

    def resume(self, url: str) -> str:
        """Keep what was recorded for this URL. Returns the validator for `If-Range`; "" if nothing can be kept."""
        try:
            note = json.loads(self._note.read_bytes())
            known, validator = str(note["url"]), str(note["validator"])
            kept = int(note["written" if note["boot"] == _boot() else "synced"])
            whole_bytes = note.get("whole")
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        if known != url or not validator or not 0 < kept <= os.fstat(self._file).st_size:
            return ""
        self._url, self._validator, self.whole_bytes = url, validator, whole_bytes
        self._rehash(kept)
        return validator

    def restart(self, url: str, validator: str, whole_bytes: int | None = None) -> None:
        """Start again with the server's current values."""
        os.ftruncate(self._file, 0)
        self._hash, self.bytes, self.head, self._noted, self._synced = hashlib.sha256(), 0, b"", 0, 0
        self._url, self._validator, self.whole_bytes = url, validator, whole_bytes
        self._note.unlink(missing_ok=True)

    def write(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            left = memoryview(chunk)
            while left:
                left = left[os.pwrite(self._file, left, self.bytes + len(chunk) - len(left)) :]
            self._add(chunk)
        if self.bytes - self._synced >= SYNC_EVERY:
            self.sync()
        elif self.bytes - self._noted >= NOTE_EVERY:
            self.note()

    def sync(self) -> None:
        """Sync everything to disk, and record it."""
        os.ftruncate(self._file, self.bytes)
        os.fdatasync(self._file)
        self._synced = self.bytes
        self.note()

    def note(self) -> None:
        """Record how much was written and synced."""
        self._noted = self.bytes
        note = {"url": self._url, "validator": self._validator, "whole": self.whole_bytes, "boot": _boot()}
        aside = self._note.with_suffix(".tmp")
        aside.write_text(json.dumps({**note, "written": self.bytes, "synced": self._synced}))
        aside.rename(self._note)

    def adopt(self, size: int, sha256: str) -> bool:
        """Read the existing file. Returns whether it is complete and the right one."""
        if os.fstat(self._file).st_size != size:
            return False
        self._rehash(size)
        return self.sha256 == sha256

    @property
    def sha256(self) -> str:
        """The hash of everything written so far, in hex."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Sync the file and its directory entry to disk."""
        os.ftruncate(self._file, self.bytes)
        os.fsync(self._file)
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the file and its note, if they exist."""
        for path in (self._note.with_suffix(".tmp"), self._note, self.path):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _add(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.bytes += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]

    def _rehash(self, size: int) -> None:
        self._hash, self.bytes, self.head = hashlib.sha256(), 0, b""
        while chunk := os.pread(self._file, min(READ_BYTES, size - self.bytes), self.bytes):
            self._add(chunk)
        self._noted, self._synced = self.bytes, 0


def _boot() -> str:
    """A value that changes when the machine restarts."""
    return BOOT_ID.read_text().strip()
