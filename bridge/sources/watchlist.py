"""The watchlist: a file that always names all the tasks somebody wants watched."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.ids import WatchKey
from bridge.domain.watch import Wish
from bridge.logs import get_logger
from bridge.ports import Clock, Intake
from bridge.sources.changes import RESCAN_S, Follower
from bridge.sources.drops import Mark
from bridge.sources.forms import MAX_FILE_BYTES, read_tasks
from bridge.sources.tasks import TaskProblem, TaskReader

NAME: Final = "watchlist"
SETTLE_S: Final = 1.0  # only what has stood unchanged for so long is what somebody meant

_PROBLEMS_TOLD: Final = 20
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one state of the file says; of its `bad` entries the first `problems`, each with its line."""

    digest: bytes
    wishes: tuple[Wish, ...]
    bad: int
    problems: tuple[str, ...]


class Watchlist:
    """`ports.Source` over a list of tasks.

    A new content is read once it has stood unchanged for a second. When every entry of it is good, the store is made
    to hold exactly these (an explicit empty list withdraws all). When any is bad, or the file is empty, missing or
    unreadable, the good entries are added and nothing is withdrawn: a slip of the pen must not end watches.
    """

    def __init__(self, path: Path, *, intake: Intake, reader: TaskReader, clock: Clock) -> None:
        self._path = path
        self._intake = intake
        self._reader = reader
        self._clock = clock
        self._mark: Mark | None = None
        self._since_at = 0.0  # the file has been as `_mark` says
        self._done: Mark | None = None
        self._digest = b""  # of the content last handed over
        self._is_idle = False

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the list for ever, across editors that replace the file and times when it is missing."""
        follower = Follower(NAME, self._path.parent, self._path.name, clock=self._clock)
        await follower.follow(self._look, self.is_idle, task_status=task_status)

    def is_idle(self) -> bool:
        """Whether the file as last seen has been read and handed over."""
        return self._is_idle

    async def _look(self) -> float:
        try:
            mark = Mark.of(await anyio.to_thread.run_sync(os.stat, self._path, abandon_on_cancel=True))
            if mark != self._mark:
                self._mark, self._since_at = mark, self._clock.steady()
            left_s = self._since_at + SETTLE_S - self._clock.steady()
            self._is_idle = mark == self._done
            if self._is_idle or left_s > 0:
                return RESCAN_S if self._is_idle else left_s
            content = await anyio.to_thread.run_sync(self._read, mark, abandon_on_cancel=True)
        except OSError:
            self._is_idle = True
            raise
        if content is None:
            return 0.0  # it changed while it was being read
        if content.digest != self._digest:
            await self._hand_over(content)
        self._digest, self._done, self._is_idle = content.digest, mark, True
        return RESCAN_S

    async def _hand_over(self, content: Content) -> None:
        if not content.bad:
            await self._intake.sync(content.wishes, source=NAME)
            log.info("watchlist.read", tasks=len(content.wishes))
            return
        if content.wishes:
            await self._intake.add(content.wishes, source=NAME)
        log.error(
            "watchlist.invalid",
            file=str(self._path),
            problems=list(content.problems),
            bad=content.bad,
            good=len(content.wishes),
            withdrawn=0,
        )

    def _read(self, mark: Mark) -> Content | None:
        """The content, or None when the file is no longer what `mark` says. OSError when it cannot be read."""
        with os.fdopen(os.open(self._path, _FLAGS), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError("the watchlist is not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
            if Mark.of(found) != mark or Mark.of(os.fstat(file.fileno())) != mark:
                return None
        if len(data) > MAX_FILE_BYTES:
            raise OSError(f"the watchlist has more than {MAX_FILE_BYTES} bytes")
        return self._parsed(data)

    def _parsed(self, data: bytes) -> Content:
        wishes: dict[WatchKey, Wish] = {}
        problems: list[str] = []
        bad = 0
        suffix = ".json" if self._path.suffix.lower() == ".json" else ".yaml"
        for entry in read_tasks(data, suffix, lists_only=True):
            try:
                wish = self._reader.read_entry(entry)
            except TaskProblem as problem:
                bad += 1
                if bad <= _PROBLEMS_TOLD:
                    problems.append(f"{self._path.name}:{entry.line}: {problem}")
            else:
                wishes.setdefault(wish.key, wish)
        digest = hashlib.sha256(data).digest()
        return Content(digest=digest, wishes=tuple(wishes.values()), bad=bad, problems=tuple(problems))
