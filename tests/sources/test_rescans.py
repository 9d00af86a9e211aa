"""File changes are noticed by notifications, and by rescans where there are no notifications."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.source import SourceTally
from bridge.sources.rescans import Rescanner
from tests.sources.rig import QuickClock, pause
from tests.stopwatch import until


class LazyClock(QuickClock):
    """While `is_lazy` is set, timed waits never end, so that only notifications have an effect."""

    is_lazy = False

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        return await super().wait(wake, None if self.is_lazy else timeout_s)


class Looks:
    """Counts how often the source looks, and lets some looks fail."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.count = 0
        self.trouble: OSError | None = None
        self.clock = LazyClock()
        self._rescanner = Rescanner(SourceTally(source="test", path="/"), folder, name, clock=self.clock)

    async def look(self) -> float:
        self.count += 1
        if self.trouble:
            raise self.trouble
        return 60.0

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            await group.start(self._start)
            yield
            group.cancel_scope.cancel()

    async def more(self, looks: int = 1) -> None:
        """Return after this many further looks."""
        before = self.count
        await until(lambda: self.count >= before + looks)

    async def rely_on_notifications(self) -> None:
        """From now on only a notification leads to a look."""
        await self.more(2)  # now the notifications work again
        self.clock.is_lazy = True
        await self.more()

    async def _start(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self._rescanner.run(self.look, lambda: True, task_status=task_status)


async def test_a_rescanner_checks_at_once_and_then_regularly(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    async with looks.following():
        assert looks.count >= 1
        await looks.more(3)


async def test_a_change_is_noticed_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    async with looks.following():
        await looks.rely_on_notifications()
        (tmp_path / "new").touch()
        await looks.more()


async def test_a_name_that_is_not_utf8_does_not_stop_change_notifications(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    async with looks.following():
        await looks.rely_on_notifications()
        for number in range(3):
            (tmp_path / os.fsdecode(b"bad\xff%d" % number)).touch()
            await looks.more()
            await pause(2)
            (tmp_path / f"good{number}").touch()
            await looks.more()


async def test_a_folder_that_is_made_again_is_listened_to(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    looks = Looks(folder)
    async with looks.following():
        await looks.more()
        folder.rmdir()
        await looks.more(2)
        folder.mkdir()
        await looks.more(4)
        await looks.rely_on_notifications()
        (folder / "new").touch()
        await looks.more()


async def test_only_the_file_that_was_named_wakes_it(tmp_path: Path) -> None:
    looks = Looks(tmp_path, "wanted")
    async with looks.following():
        await looks.rely_on_notifications()
        before = looks.count
        (tmp_path / "other").touch()
        await pause(2)
        assert looks.count == before
        (tmp_path / "wanted").touch()
        await looks.more()


async def test_a_lasting_failure_is_reported_once(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    looks.trouble = PermissionError(13, "Permission denied")
    with capture_logs() as logs:
        async with looks.following():
            await looks.more(3)
            looks.trouble = OSError(5, "Input/output error")
            await looks.more(3)
            looks.trouble = None
            await looks.more(2)
    told = [(entry["event"], entry.get("reason")) for entry in logs]
    assert told == [
        ("source.failed", "Permission denied"),
        ("source.failed", "Input/output error"),
        ("source.recovered", None),
    ]


async def test_an_unexpected_exception_is_raised(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    looks.trouble = None

    async def broken() -> float:
        raise ValueError("a mistake of ours")

    with pytest.raises(ExceptionGroup) as caught:
        await Rescanner(SourceTally(source="test", path="/"), tmp_path, None, clock=QuickClock()).run(
            broken, lambda: True, task_status=anyio.TASK_STATUS_IGNORED
        )
    assert caught.group_contains(ValueError)
