"""What every source promises, whatever it reads from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from bridge.control.first_settings import PATHS
from bridge.domain.source import SourceKind
from bridge.ports import Source
from bridge.sources import rescans
from bridge.sources.lines import LinesFile
from bridge.sources.queue import Queue
from bridge.sources.watchlist import Watchlist
from tests.fakes import RecordingIntake
from tests.sources.rig import QuickClock, make_reader, pause, running, running_idle
from tests.stopwatch import until


class Place:
    """Where one kind of source reads: tasks can be put there, garbage too, and it can vanish for a while."""

    def __init__(self, kind: SourceKind, root: Path) -> None:
        self._kind = kind
        self._numbers = itertools.count()
        self._names: list[str] = []
        self._path = root / PATHS[kind]

    def source(self, intake: RecordingIntake) -> Source:
        classes: dict[SourceKind, Callable[..., Source]] = {
            SourceKind.WATCHLIST: Watchlist,
            SourceKind.QUEUE: Queue,
            SourceKind.LINES: LinesFile,
        }
        return classes[self._kind](self._path, intake=intake, reader=make_reader(), clock=QuickClock())

    def put(self, *ids: str) -> None:
        self._names += ids
        match self._kind:
            case SourceKind.WATCHLIST:
                self._path.write_text("tasks:\n" + "".join(f"  - {name}\n" for name in self._names))
            case SourceKind.QUEUE:
                self._path.mkdir(exist_ok=True)
                (self._path / f"{next(self._numbers)}.txt").write_text("\n".join(ids))
            case SourceKind.LINES:
                self._append("".join(f"{name}\n" for name in ids).encode())

    def put_garbage(self) -> None:
        garbage = b"\xff\x00[[{{'\"\n"
        match self._kind:
            case SourceKind.WATCHLIST:
                self._path.write_bytes(garbage)
            case SourceKind.QUEUE:
                (self._path / f"{next(self._numbers)}.json").write_bytes(garbage)
            case SourceKind.LINES:
                self._append(garbage)

    def hide(self) -> None:
        self._path.rename(self._path.with_suffix(".away"))

    def show(self) -> None:
        self._path.with_suffix(".away").rename(self._path)

    def _append(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)


@pytest.fixture(params=SourceKind)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake()


async def test_existing_tasks_have_been_handed_over_after_the_start(
    place: Place, intake: RecordingIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescans, "READY_S", 600.0)  # a busy machine may take longer than a daemon waits
    place.put("one", "two")
    source = place.source(intake)
    assert not source.is_idle(), "nothing has been seen yet"
    async with running_idle(source):
        assert intake.ids() == {"one", "two"}
        assert source.is_idle()


async def test_later_tasks_are_handed_over_soon(place: Place, intake: RecordingIntake) -> None:
    place.put("one")
    async with running(place.source(intake)):
        place.put("two")
        await until(lambda: intake.ids() == {"one", "two"}, within_s=2.5)


async def test_a_source_is_not_idle_while_a_commit_waits(place: Place, intake: RecordingIntake) -> None:
    place.put("one")
    intake.hold()
    source = place.source(intake)
    async with running(source):
        await until(lambda: intake.waiting)
        assert not source.is_idle()
        intake.release()
        await until(source.is_idle)
        assert intake.ids() == {"one"}


async def test_a_source_starts_although_the_store_cannot_be_written(place: Place, intake: RecordingIntake) -> None:
    place.put("one")
    intake.hold()
    with anyio.fail_after(30):
        async with running(place.source(intake)):
            assert not intake.ids()


async def test_a_source_stopped_in_the_middle_loses_nothing(place: Place, intake: RecordingIntake) -> None:
    place.put("one")
    intake.hold()
    async with running(place.source(intake)):
        await until(lambda: intake.waiting)
        place.put("two")
    assert not intake.ids()
    intake.release()
    async with running(place.source(intake)):
        await until(lambda: intake.ids() == {"one", "two"})


async def test_a_commit_that_fails_loses_nothing(place: Place, intake: RecordingIntake) -> None:
    place.put("one")
    intake.refuse_with = RuntimeError("the store is gone for good")
    with pytest.raises(ExceptionGroup) as caught:
        await place.source(intake).run(task_status=anyio.TASK_STATUS_IGNORED)
    assert caught.group_contains(RuntimeError, match="for good")
    intake.refuse_with = None
    async with running_idle(place.source(intake)):
        assert intake.ids() == {"one"}


async def test_a_second_reading_of_the_same_changes_nothing(place: Place, intake: RecordingIntake) -> None:
    place.put("one", "two")
    for _ in range(2):
        async with running(place.source(intake)):
            await until(lambda: intake.ids() == {"one", "two"})
    assert intake.named.keys() == {place.source(intake).tally.source}


async def test_invalid_entries_neither_stop_the_source_nor_hide_valid_ones(
    place: Place, intake: RecordingIntake
) -> None:
    place.put("one")
    source = place.source(intake)
    async with running(source):
        place.put_garbage()
        await until(lambda: not source.is_idle() or intake.ids(), within_s=5)
        place.put("two")
        await until(lambda: intake.ids() == {"one", "two"})
        await until(source.is_idle)


async def test_a_source_that_disappears_is_waited_for(place: Place, intake: RecordingIntake) -> None:
    place.put("one")
    source = place.source(intake)
    async with running(source):
        place.hide()
        await until(source.is_idle)
        await pause(2.5)
        assert intake.ids() == {"one"}
        place.show()
        place.put("two")
        await until(lambda: intake.ids() == {"one", "two"})
