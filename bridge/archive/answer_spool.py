"""Keeps files from inside answers on disk, from before the task's finish is stored until they are copied."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from bridge.archive.download import CopyFailed, Fetched, Space
from bridge.archive.folder import FILE_MODE, make_folder, sync_folder
from bridge.archive.part_file import PartFile
from bridge.archive.place import PlaceFailed
from bridge.domain.answer_file import AnswerFile
from bridge.domain.archive_names import WantedCopy, spool_name
from bridge.domain.content_sniffing import WrongContent, sniffed
from bridge.domain.ids import WatchKey
from bridge.domain.task import Reading, ReadingKind
from bridge.logs import get_logger

log = get_logger()


Ask = Callable[[], Awaitable[Reading]]
"""Polls the task once more. When it returns, files inside the answer have been kept."""

Digests = Mapping[tuple[str, int], str]
"""The sha256 of each kept file, by its kind and place."""

READ_BYTES: Final = 1 << 20
KEEP_WITHIN_S: Final = 30.0  # how long a poll waits for the disk
HANGS: Final = "the archive does not respond"
OVER: Final = frozenset({ReadingKind.EXPIRED_RESULT, ReadingKind.FAILED, ReadingKind.CANCELED})


class FileTooLarge(Exception):
    """A file inside an answer is larger than `archive.max_size`."""


class AnswerSpool:
    """Writes each file of an answer to a folder, completely and synced, under a name derived from its task.

    The file's item gets the `sha256` of the content. An item without `sha256` means that the file could not be kept;
    then the copy polls the provider again. `folder` creates the folder if necessary, or raises PlaceFailed. `space` is
    as for `ArchiveSink`. While the disk hangs, no further files are kept, because the finish of a task must not wait
    for the disk.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        *,
        kinds: Collection[str],
        most_bytes: int,
        space: Space,
        within_s: float = KEEP_WITHIN_S,
    ) -> None:
        self._folder = folder
        self._kinds = kinds
        self._most_bytes = most_bytes
        self._space = space
        self._within_s = within_s
        self._late_end = threading.Event()  # the end of the thread that was abandoned last
        self._late_end.set()

    async def keep(self, account: str, task_id: str, reading: Reading) -> Reading:
        """Keep the files of this answer. Returns the reading without them. Nothing is raised except cancellation."""
        seen = reading.snapshot
        wanted = [] if seen is None else [file for file in seen.files if file.kind in self._kinds]
        if seen is None or not wanted:
            return reading.without_files()
        result = {kind: [dict(item) for item in items] for kind, items in seen.result.items()}
        try:
            found = await self._kept_in_time(account, task_id, wanted)
        except (OSError, PlaceFailed) as error:
            reason = getattr(error, "strerror", None) or str(error)
            log.warning("archive.unspooled", account=account, task_id=task_id, reason=reason)
            return reading.without_files()
        for (kind, place), digest in found.items():
            result[kind][place]["sha256"] = digest
        return reading._replace(snapshot=seen._replace(result=result, files=()))

    async def _kept_in_time(self, account: str, task_id: str, files: Collection[AnswerFile]) -> Digests:
        """Like `_keep_all`; raises PlaceFailed also while the disk hangs."""
        if not self._late_end.is_set():
            raise PlaceFailed(HANGS)
        end = threading.Event()

        def keep() -> Digests:
            try:
                return self._keep_all(account, task_id, files)
            finally:
                end.set()

        with anyio.move_on_after(self._within_s):
            return await anyio.to_thread.run_sync(keep, abandon_on_cancel=True)
        self._late_end = end
        raise PlaceFailed(HANGS)

    def _keep_all(self, account: str, task_id: str, files: Collection[AnswerFile]) -> Digests:
        folder, found = self._folder(), dict[tuple[str, int], str]()
        if (problem := self._space(sum(len(file.text) for file in files))) is not None:
            raise PlaceFailed(problem)
        make_folder(folder)
        for file in files:
            path = folder / spool_name(account, task_id, file.kind, file.place)
            try:
                found[file.kind, file.place] = _written(path, file, self._most_bytes)
            except (ValueError, FileTooLarge) as error:
                path.unlink(missing_ok=True)  # from an earlier answer
                log.warning("archive.unspooled", account=account, task_id=task_id, reason=str(error))
        sync_folder(folder)
        return found

    async def fetch(self, wanted: WantedCopy, part: PartFile, key: WatchKey, ask: Ask) -> Fetched:
        """Copy a result that was inside the answer into an open part file. If it is not here (another daemon got the
        answer, or it could not be kept), the provider is asked once more. CopyFailed says why it failed; OSError if a
        file cannot be read or written."""
        if wanted.bytes > self._most_bytes:
            raise CopyFailed(f"{wanted.bytes} bytes are more than archive.max_size", is_final=True)
        path = self._folder() / _name(wanted, key)
        expected = wanted.sha256
        if not expected or not await anyio.to_thread.run_sync(_taken, path, part, expected):
            expected = _sha256_again(wanted, await ask())
            if not await anyio.to_thread.run_sync(_taken, path, part, expected):
                raise CopyFailed("the file of the answer was changed on the disk")
        try:
            file_type = sniffed(part.head, kind=wanted.kind, url="", stated=wanted.media_type)
        except WrongContent as error:
            raise CopyFailed(str(error), is_final=True) from error
        await anyio.to_thread.run_sync(part.finish)
        return Fetched(part.bytes, part.sha256, file_type)

    def discard(self, wanted: WantedCopy, key: WatchKey) -> None:
        """Remove the kept file of a result that has been copied."""
        if wanted.is_inside:
            with suppress(OSError, PlaceFailed):
                (self._folder() / _name(wanted, key)).unlink(missing_ok=True)


def _name(wanted: WantedCopy, key: WatchKey) -> str:
    return spool_name(key.account, key.task_id, wanted.kind, wanted.place)


def _taken(path: Path, part: PartFile, sha256: str) -> bool:
    """Copy the file into the part, if it exists and is the right one. It is kept, for another attempt."""
    part.restart("", "")
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                part.write([piece])
    except FileNotFoundError:
        return False
    return part.sha256 == sha256


def _sha256_again(wanted: WantedCopy, reading: Reading) -> str:
    """The hash of the file, from the provider's new answer."""
    seen = reading.snapshot
    if reading.kind is not ReadingKind.SUCCEEDED or seen is None:
        said = f"polled again: {reading.detail or reading.kind}"
        raise CopyFailed(said, is_final=reading.kind in OVER, retry_after_s=reading.retry_after_s)
    items = seen.result.get(wanted.kind, ())
    item = items[wanted.place] if wanted.place < len(items) else {}
    if not item.get("embedded"):
        raise CopyFailed("polled again: the answer no longer contains the file")
    if not item.get("sha256"):
        raise CopyFailed("the file of the answer cannot be kept")
    return str(item["sha256"])


_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def _written(path: Path, file: AnswerFile, most_bytes: int) -> str:
    """Write a file, and give it its name when it is complete and on disk. Returns its sha256."""
    # A retry after a crash uses the same temporary name, so none is left over. The copy checks the sha256.
    aside, digest, size = path.with_name(f"{path.name}.tmp"), hashlib.sha256(), 0
    try:
        with os.fdopen(os.open(aside, _CREATE, FILE_MODE), "wb") as opened:
            for piece in file.pieces():
                size += len(piece)
                if size > most_bytes:
                    raise FileTooLarge("a file inside the answer is larger than archive.max_size")
                digest.update(piece)
                opened.write(piece)
            opened.flush()
            os.fsync(opened.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    return digest.hexdigest()
