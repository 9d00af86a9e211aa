"""The watchlist: a file that always names all the tasks to be watched."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.finding import Finding
from bridge.domain.ids import WatchKey
from bridge.domain.plurals import count
from bridge.domain.source import SourceKind, SourceTally
from bridge.domain.watch import Wish
from bridge.logs import get_logger
from bridge.ports import Clock, Intake
from bridge.sources.entry import Entry
from bridge.sources.parse_process import ParseProcess, ParseTimeout
from bridge.sources.rescans import RESCAN_S, Rescanner
from bridge.sources.source_checks import error, ok, unreadable, warning
from bridge.sources.task_files import MAX_FILE_BYTES
from bridge.sources.task_reader import DoubtfulId, TaskProblem, TaskReader

NAME: Final = SourceKind.WATCHLIST.value
SETTLE_S: Final = 1.0  # a file that changed more recently may be in the middle of an edit

_MOST_PROBLEMS: Final = 20  # maximum in a log line
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

State = tuple[int, ...]  # differs if the file has changed, also if its size and mtime are the same as before

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchlistContent:
    """The content of the file in one state. `problems` are the first of its `bad` and `doubtful` entries, each with its
    line."""

    digest: bytes
    wishes: list[Wish]
    bad: int
    doubtful: set[WatchKey]  # rejected only because of their ids
    problems: list[str]


class Watchlist:
    """`ports.FileSource` for a list of tasks.

    New content is read when it has been unchanged for a second. If every entry is valid, the store is made to contain
    exactly these tasks (an explicit empty list withdraws all). If any entry is invalid, or the file is empty, missing
    or unreadable, the valid entries are added and nothing is withdrawn: a typing mistake must not end watches. An entry
    with a rejected id is a warning: it is not added, and if it is already watched, it stays watched.
    """

    def __init__(self, path: Path, *, intake: Intake, reader: TaskReader, clock: Clock) -> None:
        self.tally = SourceTally(source=NAME, path=str(path), is_listing=True)
        self._path = path
        self._intake = intake
        self._reader = reader
        self._clock = clock
        self._state: State | None = None
        self._since_at = 0.0  # when the file got its current state
        self._done: State | None = None
        self._parsing = ParseProcess(steady=clock.steady)
        self._digest = b""  # digest of the content that was last handed over
        self._is_idle = False

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Read the list until canceled, also if an editor replaces the file or if it is missing for a while."""
        rescanner = Rescanner(self.tally, self._path.parent, clock=self._clock)
        self._parsing = ParseProcess(steady=self._clock.steady)  # after a bug, `run` is called again
        try:
            await rescanner.run(self._look, self.is_idle, task_status=task_status)
        finally:
            self._parsing.stop()

    def is_idle(self) -> bool:
        """Whether the current content of the file has been read and handed over."""
        return self._is_idle

    def inspect(self) -> Finding:
        """See `ports.FileSource.inspect`: whether the list can be read, and whether every entry is good."""
        path = self._path
        try:
            content = self._read(_state(path.stat()))
        except OSError as problem:
            return unreadable(NAME, path, problem, until="no task is withdrawn meanwhile")
        if content is None:
            return warning(NAME, f"{path} is being written")
        if content.bad:
            bad = count(content.bad, "invalid entry")
            return error(NAME, f"{path}: {bad}, so nothing is withdrawn; {content.problems[0]}")
        if content.doubtful:
            return warning(
                NAME, f"{path}: entries that are not watched: {len(content.doubtful)}; {content.problems[0]}"
            )
        return ok(NAME, f"{path} ({count(len(content.wishes), 'task')})")

    async def _look(self) -> float:
        try:
            state = _state(await anyio.to_thread.run_sync(os.stat, self._path, abandon_on_cancel=True))
            if state != self._state:
                self._state, self._since_at = state, self._clock.steady()
            left_s = self._since_at + SETTLE_S - self._clock.steady()
            self._is_idle = state == self._done
            if self._is_idle or left_s > 0:
                return RESCAN_S if self._is_idle else left_s
            content = await anyio.to_thread.run_sync(self._read, state, abandon_on_cancel=True)
        except OSError:
            self._is_idle = True
            raise
        if content is None:
            return 0.0  # it changed while it was being read
        if content.digest != self._digest:
            await self._hand_over(content)
        self._digest, self._done, self._is_idle = content.digest, state, True
        return RESCAN_S

    async def _hand_over(self, content: WatchlistContent) -> None:
        if content.doubtful and not content.bad:
            log.warning("watchlist.refused", file=str(self._path), problems=content.problems)
        await self._intake.sync(content.wishes, source=NAME, kept=None if content.bad else content.doubtful)
        if not content.bad:
            log.info("watchlist.read", tasks=len(content.wishes))
        else:
            log.error(
                "watchlist.invalid",
                file=str(self._path),
                problems=content.problems,
                bad=content.bad,
                good=len(content.wishes),
                withdrawn=0,
            )
        self.tally.taken, self.tally.rejected = len(content.wishes), 0
        if content.problems:
            self.tally.refused(content.bad + len(content.doubtful), content.problems[0], self._clock.now())

    def _read(self, state: State) -> WatchlistContent | None:
        """The content; None if the file has changed in the meantime. OSError if it cannot be read."""
        with os.fdopen(os.open(self._path, _FLAGS), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError("the watchlist is not a regular file")
            if _state(found) != state:
                return None
            if found.st_size > MAX_FILE_BYTES:
                raise OSError(f"the watchlist has more than {MAX_FILE_BYTES} bytes")
            digest = hashlib.file_digest(file, "sha256").digest()
            suffix = ".json" if self._path.suffix.lower() == ".json" else ".yaml"
            try:
                content = self._content(self._parsing.read(file, suffix, found.st_size, lists_only=True), digest)
            except ParseTimeout as error:
                raise OSError(f"the watchlist cannot be read: {error}") from None
            is_same = _state(os.fstat(file.fileno())) == state
        return content if is_same else None

    def _content(self, entries: Iterable[Entry], digest: bytes) -> WatchlistContent:
        wishes: dict[WatchKey, Wish] = {}
        wrong: list[str] = []
        refused: list[str] = []
        doubtful: set[WatchKey] = set()
        bad = 0
        for entry in entries:
            try:
                wish = self._reader.read_entry(entry)
            except TaskProblem as problem:
                if isinstance(problem, DoubtfulId):
                    doubtful.add(problem.key)
                    problems = refused
                else:
                    bad += 1
                    problems = wrong
                if len(problems) < _MOST_PROBLEMS:
                    problems.append(f"{self._path.name}:{entry.line}: {entry.said(str(problem))}")
            else:
                wishes.setdefault(wish.key, wish)
        return WatchlistContent(
            digest=digest,
            wishes=list(wishes.values()),
            bad=bad,
            doubtful=doubtful,
            problems=[*wrong, *refused][:_MOST_PROBLEMS],  # first those that keep the list from being used
        )


def _state(found: os.stat_result) -> State:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
