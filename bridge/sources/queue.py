"""The drop folder: a file put there is read, its tasks committed, and only then is it removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from bridge.logs import get_logger
from bridge.ports import Clock, Intake
from bridge.sources.changes import RESCAN_S, Follower
from bridge.sources.drops import Drop, scan
from bridge.sources.rejects import escaped
from bridge.sources.taking import Chunk, Taking
from bridge.sources.tasks import TaskReader

NAME: Final = "queue"

_LOOK_S: Final = 2.0  # of taking, before the folder is looked at again
_NAMES_TOLD: Final = 5
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

log = get_logger()


class Queue:
    """`ports.Source` over a folder.

    A file counts as taken once it has left the folder: removed after the commit of its tasks, or moved to
    `rejected/`. A crash in between takes it again, which changes nothing. Nothing is followed, and only regular
    files are opened. A folder that vanishes or cannot be read is waited for.
    """

    def __init__(self, folder: Path, *, intake: Intake, reader: TaskReader, clock: Clock) -> None:
        self._folder = folder
        self._intake = intake
        self._reader = reader
        self._clock = clock
        self._drops: dict[str, Drop] = {}
        self._is_idle = False

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take files for ever. The folder is made, for its owner alone, if it is missing at the start."""
        await anyio.to_thread.run_sync(self._create)
        follower = Follower(NAME, self._folder, None, clock=self._clock)
        await follower.follow(self._look, self.is_idle, task_status=task_status)

    def is_idle(self) -> bool:
        """Whether every file seen so far has been taken, rejected, or left alone."""
        return self._is_idle

    def _create(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return  # the first look fails likewise, and says so

    async def _look(self) -> float:
        now = self._clock.steady()
        try:
            self._drops = await anyio.to_thread.run_sync(self._scan, now, abandon_on_cancel=True)
        except OSError:
            self._drops, self._is_idle = {}, True
            raise
        ready = [drop for drop in self._wanted() if drop.ready_at <= now]
        if ready:
            self._is_idle = False
            await self._take(sorted(ready, key=lambda drop: drop.mark.mtime_ns))
        self._is_idle = all(drop.is_stuck for drop in self._wanted())
        return min((drop.ready_at for drop in self._wanted()), default=now + RESCAN_S) - self._clock.steady()

    def _wanted(self) -> Iterable[Drop]:
        return (drop for drop in self._drops.values() if not drop.is_left_alone)

    def _scan(self, now: float) -> dict[str, Drop]:
        drops = scan(self._folder, self._drops, now=now)
        strange = [d for d in drops.values() if d.is_left_alone and not d.is_told and d.ready_at <= now]
        if strange:
            names = [escaped(drop.name) for drop in strange[:_NAMES_TOLD]]
            log.warning("queue.left_alone", files=len(strange), names=names)
        for drop in strange:
            drop.is_told = True
        return drops

    async def _take(self, ready: Sequence[Drop]) -> None:
        """Commit chunk by chunk; a file is finished only after the commit that holds its last task."""
        until = self._clock.steady() + _LOOK_S
        folder_fd = await anyio.to_thread.run_sync(os.open, self._folder, _FLAGS)
        try:
            taking = Taking(folder_fd, self._reader, now=self._clock.steady())
            chunks = taking.chunks(ready)
            while chunk := await anyio.to_thread.run_sync(next, chunks, None):
                await self._commit(taking, chunk)
                if chunk.files and self._clock.steady() >= until:
                    break
        finally:
            os.close(folder_fd)

    async def _commit(self, taking: Taking, chunk: Chunk) -> None:
        if chunk.wishes:
            await self._intake.add(chunk.wishes, source=NAME)
        left = await anyio.to_thread.run_sync(taking.finish, chunk.files)
        for name in left:
            del self._drops[name]
        taken = [file for file in chunk.files if file.tasks]
        if taken:
            tasks = sum(file.tasks for file in taken)
            log.info("queue.taken", files=len(taken), tasks=tasks, first=escaped(taken[0].drop.name))
