"""Files are checked again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.source import SourceTally
from bridge.sources.rescans import SLOWEST_S, Rescanner
from tests.sources.rig import QuickClock
from tests.stopwatch import until


class Looks:
    """Counts how often the source looks, and lets some looks fail or take long."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self.trouble: OSError | None = None
        self.takes_s = 0.0
        self.clock = QuickClock()
        self._rescanner = Rescanner(SourceTally(source="test", path="/"), folder, clock=self.clock)

    async def look(self) -> float:
        self.count += 1
        if self.trouble:
            raise self.trouble
        await self.clock.sleep(self.takes_s)
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

    async def _start(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self._rescanner.run(self.look, lambda: True, task_status=task_status)


async def test_a_rescanner_checks_at_once_and_then_regularly(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    async with looks.following():
        assert looks.count >= 1
        await looks.more(3)


async def test_slow_checks_are_rarer(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    looks.takes_s = 0.2
    async with looks.following():
        await looks.more()
        began_at = looks.clock.steady()
        await looks.more(2)
        assert looks.clock.steady() - began_at >= 2 * SLOWEST_S


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
        await Rescanner(SourceTally(source="test", path="/"), tmp_path, clock=QuickClock()).run(
            broken, lambda: True, task_status=anyio.TASK_STATUS_IGNORED
        )
    assert caught.group_contains(ValueError)
