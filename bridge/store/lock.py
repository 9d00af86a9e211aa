"""One daemon for each store: an advisory lock that ends with its process, even if that is killed.

The file also says who holds the lock, and when the holder last showed that it works. On a shared store, which needs no
lock, it shows that the last daemon with the same settings has ended, so that its lease is not waited for.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bridge.clock import SystemClock, monotonic_us, pause
from bridge.encoding import rfc3339_of_ms
from bridge.errors import StoreBusy
from bridge.store import files

if TYPE_CHECKING:
    from bridge.ports import Clock

LOOKS: Final = 10
BETWEEN_LOOKS_S: Final = 0.02
RECORD_BYTES: Final = 4000
MOST_PROBLEM: Final = 300  # characters; each takes at most 12 bytes
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError)


class DaemonLock:
    """Holds `<store>.lock` within a `with` block. Commands do not take it.

    Creates missing directories, as `open_store` does. StoreBusy names the holder; StoreDamaged when the path is no
    file; StoreError when the lock cannot be taken. The empty file stays: without it, two daemons could lock two files.
    """

    def __init__(self, path: Path | str, *, group_access: bool = False, clock: Clock | None = None) -> None:
        self._store = Path(path).absolute()
        self._group_access = group_access
        self._clock = clock or SystemClock()
        self._handle = -1
        self._since = ""
        self._member = ""
        self.former = ""  # the member of a shared store that the last holder was, if it ended without leaving

    def __enter__(self) -> Self:
        files.inode(self._store)  # a folder is an error, and gets no lock beside it
        files.make_directory(self._store.parent, group_access=self._group_access)
        lock = lock_of(self._store)
        mode = files.file_mode(group_access=self._group_access)
        try:
            self._handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
        except OSError as error:
            raise files.os_error(error, lock) from None
        try:
            self._take(mode)
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.ftruncate(self._handle, 0)
        finally:
            os.close(self._handle)
            self._handle = -1

    def beat(self, problem: str = "") -> None:
        """Record that the holder is alive, and why it cannot use the store. May block as long as the disk does; errors
        are ignored."""
        with suppress(OSError):
            self._write(alive_us=monotonic_us(), problem=problem)

    def note_member(self, member: str) -> None:
        """Record which member of a shared store the holder is, for `former` of the next one; errors are ignored."""
        self._member = member
        self.beat()

    @staticmethod
    def silence_s(path: Path | str) -> float | None:
        """How long ago the holder of this store's lock last called `beat`; None when it has not yet done so.

        The time in which the machine was suspended does not count. Ask `holder` first: a killed process leaves its
        record.
        """
        try:
            alive_us = int(json.loads(lock_of(Path(path)).read_bytes())["alive_us"])
        except _UNREADABLE:
            return None
        return max(0.0, (monotonic_us() - alive_us) / 1e6) if alive_us else None

    @staticmethod
    def holder(path: Path | str) -> str | None:
        """The process that holds the lock of this store, in words, with its problem; None if no process holds it, or
        its record cannot be read."""
        with suppress(OSError), lock_of(Path(path)).open("rb") as file:
            record = _record(file.fileno())
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a killed process leaves its record, not its lock
            except BlockingIOError:
                return record
        return None

    def _take(self, mode: int) -> None:
        try:
            if not _locked(self._handle):
                holder = _record(self._handle) or "another genbridge"
                raise StoreBusy(f"store {self._store} is held by {holder}; stop that one first")
        except OSError as error:
            raise files.os_error(error, self._store) from None
        self._since = rfc3339_of_ms(self._clock.now() * 1000) or ""
        with suppress(*_UNREADABLE):
            before = json.loads(os.pread(self._handle, RECORD_BYTES, 0))
            if before["host"] == os.uname().nodename:  # where locks of a network folder are local, it may run elsewhere
                self.former = self._member = str(before["member"])  # kept in case this one is killed before it joins
        with suppress(OSError):  # a full disk: the lock is held, but its holder is not named
            os.ftruncate(self._handle, 0)
            self._write(alive_us=0)
            os.fchmod(self._handle, mode)
            made = os.fstat(self._handle)
            if os.geteuid() == 0 == made.st_uid and made.st_nlink == 1:
                # As SQLite does with its files. Otherwise a command run by root would keep the daemon from locking its
                # own store.
                owner = self._store.stat()
                os.fchown(self._handle, owner.st_uid, owner.st_gid)

    def _write(self, *, alive_us: int, problem: str = "") -> None:
        record: dict[str, Any] = {"pid": os.getpid(), "host": os.uname().nodename, "since": self._since}
        record |= {"alive_us": f"{alive_us:020}", "problem": problem[:MOST_PROBLEM], "member": self._member}
        # Fixed length, so that a reader never sees a truncated record.
        os.pwrite(self._handle, json.dumps(record).encode().ljust(RECORD_BYTES), 0)


def _locked(handle: int) -> bool:
    """Take the lock. Several tries, because `holder` takes it for a moment."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pause(BETWEEN_LOOKS_S)
    return False


def lock_of(store: Path) -> Path:
    real = Path(os.path.realpath(store))  # two names of one store share one lock
    return real.with_name(real.name + ".lock")


def _record(handle: int) -> str | None:
    try:
        record = json.loads(os.pread(handle, RECORD_BYTES, 0))
        named = f"genbridge pid {record['pid']} on host {record['host']} since {record['since']}"
        return "; ".join(filter(None, (named, record.get("problem"))))
    except _UNREADABLE:
        return None
