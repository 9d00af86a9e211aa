"""A text file to which other programs append, with one task per line."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.finding import Finding
from bridge.domain.source import SourceKind, SourceTally
from bridge.domain.watch import Wish
from bridge.logs import get_logger
from bridge.ports import Clock, Intake
from bridge.sources.rescans import RESCAN_S, Rescanner
from bridge.sources.source_checks import ok, unreadable
from bridge.sources.tail import MAX_LINE_BYTES, Line, Position, Tail, find_by_inode
from bridge.sources.task_files import MIXED, read_line
from bridge.sources.task_reader import TaskProblem, TaskReader

NAME: Final = SourceKind.LINES.value
FORMER_S: Final = 10.0  # how long a rotated file is still read, because its writer may not have noticed the rotation
QUIET_S: Final = 10.0  # after this time without a change, a last line without a newline counts as complete

_LOOK_S: Final = 2.0  # maximum time of one read, before anything else is checked
_MOST_PROBLEMS: Final = 5  # maximum in a log line

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBatch:
    """The tasks in some lines; `position` is after them."""

    wishes: list[Wish]
    bad: int
    problems: list[str]  # the first of them, each with its line
    position: Position


class LinesFile:
    """`ports.FileSource` for a growing file.

    Tasks and the position after them are committed together, so every line is read exactly once, also across restarts.
    If the position is no longer valid (the file was truncated or rewritten), the file is read from its beginning, which
    changes nothing for watched tasks. If the file is moved away, its rest is read first. A last line without a newline
    counts after ten seconds, if it is a task.
    """

    def __init__(self, path: Path, *, intake: Intake, reader: TaskReader, clock: Clock) -> None:
        self.tally = SourceTally(source=NAME, path=str(path))
        self._path = path
        self._intake = intake
        self._reader = reader
        self._clock = clock
        self._current: Tail | None = None
        self._former: Tail | None = None
        self._former_until_at = 0.0
        self._bad = 0
        self._is_idle = False

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Read until canceled. If the file is missing, wait for it."""
        rescanner = Rescanner(self.tally, self._path.parent, clock=self._clock, may_be_missing=True)
        try:
            await rescanner.run(self._look, self.is_idle, task_status=task_status)
        finally:
            self._close()

    def is_idle(self) -> bool:
        """Whether every line found so far has been accepted or rejected, and none waits for its newline."""
        return self._is_idle

    def inspect(self) -> Finding:
        """See `ports.FileSource.inspect`: whether the file can be read."""
        try:
            Tail.open(self._path).close()
        except OSError as problem:
            return unreadable(NAME, self._path, problem, until="it is read from its first line")
        return ok(NAME, str(self._path))

    async def _look(self) -> float:
        until = self._clock.steady() + _LOOK_S
        try:
            if self._current is None:
                self._current = await self._open()
            is_read = await self._read_former(until) and await self._read_current(self._current, until)
        except OSError as error:
            self._is_idle = True
            if error.errno == errno.ESTALE:  # in a network folder: nothing more can be read from the open files
                self._close()
            raise
        left_s = max(self._left_s(self._current), self._left_s(self._former))
        self._is_idle = is_read and not left_s
        return (min(left_s, RESCAN_S) if left_s else RESCAN_S) if is_read else 0.0

    def _close(self) -> None:
        for tail in (self._current, self._former):
            if tail is not None:
                tail.close()
        self._current = self._former = None

    def _left_s(self, tail: Tail | None) -> float:
        """How much longer to wait for the newline of the last line."""
        quiet_s = None if tail is None else tail.unended_for_s(self._clock.steady())
        return 0.0 if quiet_s is None else max(QUIET_S - quiet_s, 0.0)

    async def _open(self) -> Tail:
        """Open the file at the position in the store."""
        stored = await self._intake.cursor(NAME)
        tail = await anyio.to_thread.run_sync(Tail.open, self._path)
        position = None if stored is None else Position.from_text(stored)
        try:
            if position is not None:
                await self._resume(tail, position)
        except BaseException:
            tail.close()
            raise
        return tail

    async def _resume(self, tail: Tail, position: Position) -> None:
        """Move a newly opened file to the stored position. If that position is in another file, read that file's rest,
        too."""
        if await anyio.to_thread.run_sync(tail.resume, position):
            return
        former = None
        if tail.position.inode != position.inode:
            former = await anyio.to_thread.run_sync(find_by_inode, self._path.parent, position)
        log.warning("lines.restarted", file=self._path.name, reason="another file or other content")
        self._set_former(former)

    async def _read_former(self, until: float) -> bool:
        """Read what is still written to a file that was moved away. Returns whether the end of that file was
        reached."""
        former = self._former
        if former is None:
            return True
        while batch := await anyio.to_thread.run_sync(self._next, former):
            if batch.wishes:
                await self._intake.add(batch.wishes, source=NAME)
            self._committed(former, batch)
            if self._clock.steady() >= until:
                return False
        if self._clock.steady() >= self._former_until_at and not self._left_s(former):
            self._set_former(None)
        return True

    async def _read_current(self, tail: Tail, until: float) -> bool:
        """Read the file to its end, then check whether its name now belongs to a new file. Returns whether the end was
        reached."""
        if await anyio.to_thread.run_sync(tail.is_rewritten):
            log.warning("lines.restarted", file=self._path.name, reason="truncated or rewritten")
            tail.restart()
        while batch := await anyio.to_thread.run_sync(self._next, tail):
            cursor = batch.position.to_text()
            await self._intake.add(batch.wishes, source=NAME, cursor=cursor)
            self._committed(tail, batch)
            if self._clock.steady() >= until:
                return False
        if await anyio.to_thread.run_sync(tail.is_at, self._path):
            return True
        await self._rotate(tail)
        return False

    async def _rotate(self, old: Tail) -> None:
        new = await anyio.to_thread.run_sync(Tail.open, self._path)
        self._current = new
        try:
            is_saved_anew = await anyio.to_thread.run_sync(new.resume, old.position)
        except BaseException:
            self._set_former(old)
            raise
        if is_saved_anew:
            old.close()  # an editor wrote a new file with the same beginning
            return
        log.info("lines.rotated", file=self._path.name)
        self._set_former(old)

    def _set_former(self, former: Tail | None) -> None:
        """Keep reading `former` for a while, instead of a file that was rotated earlier."""
        if self._former is not None:
            self._former.close()
        self._former = former
        self._former_until_at = self._clock.steady() + FORMER_S

    def _next(self, tail: Tail) -> LineBatch | None:
        """The next lines, including a last one without a newline once it has not changed for a while; None if there are
        none."""
        lines, position = tail.take()
        is_unended = position == tail.position
        if is_unended:
            quiet_s = tail.unended_for_s(self._clock.steady())
            if quiet_s is None or quiet_s < QUIET_S:
                return None
            lines, position = tail.take(unended=True)
        wishes, problems, bad = [], [], 0
        for line in lines:
            try:
                wish = self._wish(line)
            except TaskProblem as problem:
                bad += 1
                if bad <= _MOST_PROBLEMS:
                    problems.append(f"{self._path.name}:{line.number}: {problem}")
            else:
                wishes += [wish] if wish else []
        if is_unended and not wishes:
            return None  # it may be only a part of a task
        return LineBatch(wishes=wishes, bad=bad, problems=problems, position=position)

    def _wish(self, line: Line) -> Wish | None:
        if line.raw is None:
            raise TaskProblem(f"longer than {MAX_LINE_BYTES} bytes; skipped")
        entry = read_line(line.raw, line.number, suffix=MIXED)
        return None if entry is None else self._reader.read_entry(entry)

    def _committed(self, tail: Tail, batch: LineBatch) -> None:
        tail.position = batch.position
        self.tally.taken += len(batch.wishes)
        if batch.bad:
            self.tally.refused(batch.bad, batch.problems[0], self._clock.now())
            self._bad += batch.bad
            log.warning("lines.refused", lines=batch.bad, problems=batch.problems, refused_in_all=self._bad)
