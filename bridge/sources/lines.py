"""A text file that others append to: one task a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge.domain.watch import Wish
from bridge.logs import get_logger
from bridge.ports import Clock, Cursor, Intake
from bridge.sources.changes import RESCAN_S, Follower
from bridge.sources.forms import read_line
from bridge.sources.tail import MAX_LINE_BYTES, Line, Position, Tail, find_by_inode
from bridge.sources.tasks import TaskProblem, TaskReader

NAME: Final = "lines"
FORMER_S: Final = 10.0  # how long a rotated file is still read: its writer may not have noticed

_LOOK_S: Final = 2.0  # of reading, before anything else is looked at
_PROBLEMS_TOLD: Final = 5  # of one commit

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some lines, read; `position` lies behind them."""

    wishes: tuple[Wish, ...]
    bad: int
    problems: tuple[str, ...]  # the first of the bad ones, each with its line
    position: Position


class Lines:
    """`ports.Source` over a growing file.

    Tasks and the position behind them are one commit, so every line is read once, also across restarts; where that
    cannot be known (truncated, rewritten) the file is read from its beginning, which changes nothing for tasks that
    are watched. Of a file that is moved away the rest is read first. A line without its newline waits for it.
    """

    def __init__(self, path: Path, *, intake: Intake, reader: TaskReader, clock: Clock) -> None:
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
        """Read for ever; a file that is missing is waited for."""
        follower = Follower(NAME, self._path.parent, self._path.name, clock=self._clock)
        try:
            await follower.follow(self._look, self.is_idle, task_status=task_status)
        finally:
            self._close()

    def is_idle(self) -> bool:
        """Whether every complete line seen so far has been taken or refused."""
        return self._is_idle

    def _close(self) -> None:
        for tail in (self._current, self._former):
            if tail is not None:
                tail.close()
        self._current = self._former = None

    async def _look(self) -> float:
        until = self._clock.steady() + _LOOK_S
        try:
            if self._current is None:
                self._current = await self._open()
            self._is_idle = await self._read_former(until) and await self._read_current(self._current, until)
        except OSError:
            self._is_idle = True
            raise
        return RESCAN_S if self._is_idle else 0.0

    async def _open(self) -> Tail:
        """The file, at the position that the store remembers."""
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
        """Set a newly opened file to where reading ended; if that was in another file, read its rest as well."""
        if await anyio.to_thread.run_sync(tail.resume, position):
            return
        former = None
        if tail.position.inode != position.inode:
            former = await anyio.to_thread.run_sync(find_by_inode, self._path.parent, position)
        log.warning("lines.restarted", file=self._path.name, reason="another file or other content")
        self._let_go(former)

    async def _read_former(self, until: float) -> bool:
        """Read what is still written to a file that was moved away. Whether its end was reached."""
        former = self._former
        if former is None:
            return True
        while batch := await anyio.to_thread.run_sync(self._next, former):
            if batch.wishes:
                await self._intake.add(batch.wishes, source=NAME)
            self._committed(former, batch)
            if self._clock.steady() >= until:
                return False
        if self._clock.steady() >= self._former_until_at:
            self._let_go(None)
        return True

    async def _read_current(self, tail: Tail, until: float) -> bool:
        """Read the file to its end, then see whether its name has gone to another. Whether its end was reached."""
        if await anyio.to_thread.run_sync(tail.is_rewritten):
            log.warning("lines.restarted", file=self._path.name, reason="truncated or rewritten")
            tail.restart()
        while batch := await anyio.to_thread.run_sync(self._next, tail):
            cursor = Cursor(NAME, batch.position.to_text())
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
            self._let_go(old)
            raise
        if is_saved_anew:
            old.close()  # with the same beginning, as editors do
            return
        log.info("lines.rotated", file=self._path.name)
        self._let_go(old)

    def _let_go(self, former: Tail | None) -> None:
        """Read `former` for a while yet, in place of one that was rotated earlier."""
        if self._former is not None:
            self._former.close()
        self._former = former
        self._former_until_at = self._clock.steady() + FORMER_S

    def _next(self, tail: Tail) -> Batch | None:
        lines, position = tail.take()
        if position == tail.position:
            return None
        wishes, problems, bad = [], [], 0
        for line in lines:
            try:
                wish = self._wish(line)
            except TaskProblem as problem:
                bad += 1
                if bad <= _PROBLEMS_TOLD:
                    problems.append(f"{self._path.name}:{line.number}: {problem}")
            else:
                wishes += [wish] if wish else []
        return Batch(wishes=tuple(wishes), bad=bad, problems=tuple(problems), position=position)

    def _wish(self, line: Line) -> Wish | None:
        if line.raw is None:
            raise TaskProblem(f"longer than {MAX_LINE_BYTES} bytes; skipped")
        entry = read_line(line.raw, line.number, suffix="")
        return None if entry is None else self._reader.read_entry(entry)

    def _committed(self, tail: Tail, batch: Batch) -> None:
        tail.advance(batch.position)
        if batch.bad:
            self._bad += batch.bad
            problems = list(batch.problems)
            log.warning("lines.refused", lines=batch.bad, problems=problems, refused_in_all=self._bad)
