"""Files that are still being written: no incomplete file is taken, and no added line is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.sources.queue import Queue
from bridge.sources.queue_files import QUIET_S, UNSEEN_S
from bridge.sources.queue_reader import FORGOTTEN_S
from tests.fakes import RecordingIntake
from tests.sources.dropping import drop, inside
from tests.sources.rig import QuickClock, make_reader, pause, running
from tests.stopwatch import until

NOBODY = 65534


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that everybody may write to. Nobody, who runs the test later, may lease no file of root's in it."""
    if os.geteuid() != 0:
        pytest.skip("becomes another user: needs root")
    place = Path(tempfile.mkdtemp())  # pytest's own is private
    place.chmod(0o777)
    yield place
    os.seteuid(0)
    shutil.rmtree(place)


@pytest.mark.parametrize("name", ["y.txt", "y", "y.yaml", "y.json", "y.csv", "y.jsonl"])
async def test_a_file_is_taken_once_its_writer_has_closed_it(
    folder: Path, queue: Queue, intake: RecordingIntake, name: str
) -> None:
    folder.mkdir()
    is_json = "json" in name
    async with running(queue):
        with (folder / name).open("w") as file:
            file.write('"CjgHs2a8' if is_json else "CjgHs2a8")
            file.flush()
            await pause(2.0)
            assert not intake.ids()
            assert not queue.is_idle()
            file.write('AAAAEx0sKQ"' if is_json else "AAAAEx0sKQ")
        await until(lambda: intake.ids() == {"CjgHs2a8AAAAEx0sKQ"})
        await until(lambda: not inside(folder))


async def test_an_empty_file_is_not_rejected_while_it_is_open(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    folder.mkdir()
    async with running(queue):
        with (folder / "y.txt").open("w") as file:
            await pause(QUIET_S + 2.0)
            assert inside(folder) == {"y.txt"}
            file.write("one")
        await until(lambda: intake.ids() == {"one"})


async def test_lines_added_between_reading_and_removal_are_read(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    intake.hold()
    async with running(queue):
        path = drop(folder, "a.txt", "one\n")
        await until(lambda: intake.waiting)
        with path.open("a") as file:
            intake.release()
            await until(lambda: intake.ids() == {"one"})
            file.write("two\n")
        await until(lambda: intake.ids() == {"one", "two"})
        await until(lambda: not inside(folder))


async def test_a_file_left_by_a_crash_during_its_removal_is_read_again(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    drop(folder, ".taken-42.txt", "one\ntwo")
    async with running(queue):
        await until(lambda: not inside(folder))
    assert intake.ids() == {"one", "two"}


async def test_without_detection_a_file_is_taken_after_settle_with_later_lines(
    as_nobody: Path, intake: RecordingIntake
) -> None:
    folder, clock = as_nobody, QuickClock()
    path = folder / "a.txt"
    with path.open("w") as file:  # by root, and from before
        file.write("one\n")
        file.flush()
        os.seteuid(NOBODY)
        queue = Queue(folder, intake=intake, reader=make_reader(), clock=clock)
        began = clock.steady()
        async with running(queue):
            await until(lambda: intake.ids() == {"one"})
            assert clock.steady() - began >= UNSEEN_S
            assert queue.tally.note is not None
            assert "leases (own files)" in queue.tally.note
            await until(lambda: not path.exists())
            file.write("two\n")
            file.flush()
            await until(lambda: intake.ids() == {"one", "two"})
            await until(lambda: not inside(folder))


@pytest.mark.parametrize(("name", "half"), [("a.txt", "one"), ("a", "one"), ("a.csv", "one"), ("a.json", '["one"')])
async def test_without_detection_an_unfinished_line_counts_after_ten_seconds(
    as_nobody: Path, intake: RecordingIntake, name: str, half: str
) -> None:
    folder, clock = as_nobody, QuickClock()
    (folder / name).write_text(half)
    os.seteuid(NOBODY)
    began = clock.steady()
    async with running(Queue(folder, intake=intake, reader=make_reader(), clock=clock)):
        await until(lambda: not (folder / name).exists(), within_s=20)
    assert clock.steady() - began >= QUIET_S
    assert intake.ids() == (set() if half.startswith("[") else {"one"})


async def test_without_detection_complete_json_is_taken_after_settle(as_nobody: Path, intake: RecordingIntake) -> None:
    folder, clock = as_nobody, QuickClock()
    (folder / "a.json").write_text('["one"]')
    os.seteuid(NOBODY)
    began = clock.steady()
    async with running(Queue(folder, intake=intake, reader=make_reader(), clock=clock)):
        await until(lambda: intake.ids() == {"one"})
    assert clock.steady() - began < QUIET_S


async def test_the_settings_may_say_how_long_a_file_must_be_unchanged(folder: Path, intake: RecordingIntake) -> None:
    clock = QuickClock()
    queue = Queue(folder, intake=intake, reader=make_reader(), clock=clock, settle_s=6.0)
    async with running(queue):
        dropped = clock.steady()
        drop(folder, "a.txt", "one\n")
        await until(intake.ids)
        assert clock.steady() - dropped >= 5.9


async def test_without_leases_files_are_taken_once_they_are_closed(as_nobody: Path, intake: RecordingIntake) -> None:
    folder, clock = as_nobody, QuickClock()
    os.seteuid(NOBODY)
    async with running(Queue(folder, intake=intake, reader=make_reader(), clock=clock)):
        os.seteuid(0)
        with (folder / "y.txt").open("w") as file:
            os.seteuid(NOBODY)
            file.write("CjgHs2a8")
            file.flush()
            await pause(QUIET_S + 2.0)
            assert not intake.ids()
            file.write("AAAAEx0sKQ")
        closed = clock.steady()
        await until(lambda: intake.ids() == {"CjgHs2a8AAAAEx0sKQ"})
        assert clock.steady() - closed < UNSEEN_S
        await until(lambda: not inside(folder))


async def test_without_leases_a_second_writer_loses_nothing(as_nobody: Path, intake: RecordingIntake) -> None:
    folder, clock = as_nobody, QuickClock()
    path = folder / "y.txt"
    os.seteuid(NOBODY)
    async with running(Queue(folder, intake=intake, reader=make_reader(), clock=clock)):
        os.seteuid(0)
        with path.open("a") as first, path.open("a") as second:  # one notification for both
            os.seteuid(NOBODY)
            first.write("one\n")
            first.close()
            await until(lambda: intake.ids() == {"one"})
            await pause(2.0)
            second.write("two\n")
        await until(lambda: intake.ids() == {"one", "two"})
        await until(lambda: not inside(folder))


async def test_a_file_with_preallocated_space_waits_for_its_content(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    drop(folder, "y.txt", b"\0" * 8)
    async with running(queue):
        await pause(5.0)
        assert inside(folder) == {"y.txt"}
        (folder / "y.txt").write_text("one\ntwo\n")
        await until(lambda: intake.ids() == {"one", "two"})
        await until(lambda: not inside(folder))
        drop(folder, "z.txt", b"\0" * 8)
        await until(lambda: not (folder / "z.txt").exists(), within_s=20)
    assert "U+0000" in (folder / "rejected" / "z.txt.reason").read_text()


@pytest.mark.long
async def test_a_file_that_stays_open_causes_one_warning(folder: Path, queue: Queue) -> None:
    folder.mkdir()
    with capture_logs() as logs, (folder / "y.txt").open("w") as file:
        file.write("one")
        file.flush()
        async with running(queue):
            await pause(FORGOTTEN_S + 5.0)
    (told,) = [entry for entry in logs if entry["event"] == "queue.waiting"]
    assert (told["name"], told["reason"]) == ("y.txt", "open for writing")
