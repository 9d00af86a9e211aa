"""Background work starts again after a bug."""

from __future__ import annotations

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.errors import BridgeBug, StoreDamaged
from bridge.restarting import FIRST_PAUSE_S, LONGEST_PAUSE_S, keep_running
from tests.fakes import FakeClock


class Faulty:
    """Work that raises one of these each time when it is run, and then works."""

    def __init__(self, clock: FakeClock, *errors: Exception, after_s: float = 0.0) -> None:
        self.clock = clock
        self.errors = list(errors)
        self.after_s = after_s
        self.begun_at: list[float] = []
        self.works = False

    async def run(self) -> None:
        self.begun_at.append(self.clock.steady())
        if not self.errors:
            self.works = True
            await anyio.sleep_forever()
        if self.after_s:
            await self.clock.sleep(self.after_s)
        raise self.errors.pop(0)


@pytest.mark.parametrize(
    "bug", [KeyError("a bug of ours"), BridgeBug("unforeseen"), ExceptionGroup("", [ValueError()])]
)
async def test_work_starts_again_a_second_after_a_bug(bug: Exception) -> None:
    clock = FakeClock()
    part = Faulty(clock, bug)
    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            group.start_soon(keep_running, "part", part.run, clock)
            await clock.advance(FIRST_PAUSE_S)
            assert part.works
            group.cancel_scope.cancel()
    assert [(line["event"], line["work"], line["again_in_s"]) for line in logged] == [("work.bug", "part", 1.0)]


async def test_the_pause_doubles_to_a_minute_and_resets_after_a_working_minute() -> None:
    clock = FakeClock()
    part = Faulty(clock, *[KeyError()] * 9)
    async with anyio.create_task_group() as group:
        group.start_soon(keep_running, "part", part.run, clock)
        await clock.advance(1000)
        pauses = [after - before for before, after in zip(part.begun_at, part.begun_at[1:], strict=False)]
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        group.cancel_scope.cancel()

    steady = Faulty(clock, KeyError(), KeyError(), after_s=LONGEST_PAUSE_S + 1)
    async with anyio.create_task_group() as group:
        group.start_soon(keep_running, "part", steady.run, clock)
        await clock.advance(2 * (LONGEST_PAUSE_S + 2))
        assert steady.works
        group.cancel_scope.cancel()


async def test_an_error_that_needs_a_person_is_raised() -> None:
    clock = FakeClock()
    with pytest.raises(BaseExceptionGroup) as caught:
        await keep_running("part", Faulty(clock, StoreDamaged("no store")).run, clock)
    assert caught.group_contains(StoreDamaged, depth=None)


async def test_work_that_returns_is_not_restarted() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1

    await keep_running("part", work, FakeClock())
    assert runs == 1
