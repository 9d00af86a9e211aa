"""The file of lines is read from where the last read ended, also after truncation and rotation."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path, PosixPath
from typing import Any

import anyio
import anyio.from_thread
import pytest
from structlog.testing import capture_logs

from bridge.sources.lines import QUIET_S, LinesFile
from bridge.sources.tail import MAX_LINE_BYTES, Line, Position, Tail
from tests.fakes import RecordingIntake
from tests.sources.rig import QuickClock, make_reader, pause, running, running_idle
from tests.stopwatch import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ids.txt"


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake()


@pytest.fixture
def lines(path: Path, intake: RecordingIntake) -> LinesFile:
    return again(path, intake)


def again(path: Path, intake: RecordingIntake) -> LinesFile:
    """The source that the next start of the daemon creates."""
    return LinesFile(path, intake=intake, reader=make_reader(), clock=QuickClock())


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def told(logs: list[Any], event: str) -> list[Any]:
    return [entry for entry in logs if entry["event"] == event]


async def test_existing_and_appended_lines_are_read(path: Path, lines: LinesFile, intake: RecordingIntake) -> None:
    append(path, '\ufeffone\r\n\n# remark\n{"id": "two", "label": "x"}\n')
    async with running_idle(lines):
        assert intake.ids() == {"one", "two"}
        append(path, "three\n")
        await until(lambda: "three" in intake.ids(), within_s=1.5)
        assert lines.is_idle()


async def test_a_line_counts_with_its_newline(path: Path, lines: LinesFile, intake: RecordingIntake) -> None:
    append(path, "one\ntw")
    async with running(lines):
        assert intake.ids() == {"one"}
        assert not lines.is_idle(), "more of the last line may come"
        append(path, "o")
        await anyio.sleep(0.5)
        assert intake.ids() == {"one"}
        append(path, "\nthree")
        await until(lambda: intake.ids() == {"one", "two"})


async def test_after_a_restart_reading_continues_where_it_ended(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\ntwo\nthr")
    async with running(lines):
        pass
    append(path, "ee\nfour\n")
    async with running_idle(again(path, intake)):
        assert intake.ids() == {"one", "two", "three", "four"}
    assert intake.commits == [2, 2]


async def test_bad_lines_are_reported_and_counted_and_leave_the_others(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, b'one\n{"id": \ntw\xffo\n{"id": "x", "webhook": "http://x"}\n..\ntwo\n')
    with capture_logs() as logs:
        async with running(lines):
            await until(lambda: intake.ids() == {"one", "two"})
            append(path, "a\0b\n")
            await until(lambda: len(told(logs, "lines.refused")) == 2)
    first, second = told(logs, "lines.refused")
    assert first["lines"] == 4
    assert [problem.split(": ")[0] for problem in first["problems"]] == [f"ids.txt:{line}" for line in (2, 3, 4, 5)]
    assert second["problems"][0].startswith("ids.txt:7: ")
    assert second["refused_in_all"] == 5


async def test_a_line_that_is_too_long_is_skipped_also_across_a_restart(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\n" + "x" * (2 * MAX_LINE_BYTES))
    with capture_logs() as logs:
        async with running(lines):
            await until(lambda: told(logs, "lines.refused"))
        append(path, "x\ntwo\n")
        async with running(again(path, intake)):
            await until(lambda: intake.ids() == {"one", "two"})
    (entry,) = told(logs, "lines.refused")
    assert entry["problems"] == [f"ids.txt:2: longer than {MAX_LINE_BYTES} bytes; skipped"]


@pytest.mark.parametrize("when", ["running", "stopped"])
@pytest.mark.parametrize("new", ["new\n", "much-more-than-there-was-before\nnew\n", "oNe\ntwo\n"])
async def test_a_truncated_or_rewritten_file_is_read_from_its_beginning(
    path: Path, lines: LinesFile, intake: RecordingIntake, when: str, new: str
) -> None:
    append(path, "one\ntwo\n")
    wanted = set(new.split("\n")) - {""} | {"one", "two"}
    with capture_logs() as logs:
        async with running(lines):
            await until(lambda: intake.ids() == {"one", "two"})
            if when == "running":
                path.write_text(new)  # truncates, and writes into the same file: copytruncate
                await until(lambda: intake.ids() == wanted)
        if when == "stopped":
            path.write_text(new)
            async with running_idle(again(path, intake)):
                assert intake.ids() == wanted
    assert len(told(logs, "lines.restarted")) == 1


async def test_a_rewritten_file_of_the_same_size_and_mtime_is_read(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\ntwo\n")
    before = path.stat()
    async with running(lines):
        await until(lambda: intake.ids() == {"one", "two"})
        path.write_text("oNe\ntWo\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await until(lambda: intake.ids() == {"one", "two", "oNe", "tWo"})


async def test_the_rest_of_a_rotated_file_is_read_before_the_new_file(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\n")
    old = path.with_suffix(".1")
    with capture_logs() as logs:
        async with running(lines):
            path.rename(old)
            append(old, "two\n")
            append(path, "three\n")
            await until(lambda: intake.ids() == {"one", "two", "three"})
            append(old, "late\n")  # by a writer that still has it open
            await until(lambda: "late" in intake.ids())
            append(path, "four\n")
            await until(lambda: "four" in intake.ids())
        append(path, "five\n")
        async with running_idle(again(path, intake)):
            assert "five" in intake.ids()
    assert len(told(logs, "lines.rotated")) == 1
    assert not told(logs, "lines.restarted")


async def test_a_rotation_while_the_daemon_is_stopped_loses_no_line(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\n")
    async with running_idle(lines):
        assert intake.ids() == {"one"}
    append(path, "two\n")
    path.rename(path.with_suffix(".1"))
    append(path, "three\n")
    async with running(again(path, intake)):
        await until(lambda: intake.ids() == {"one", "two", "three"})


async def test_a_new_file_with_the_same_beginning_repeats_nothing(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\ntwo\n")
    async with running(lines):
        new = path.with_suffix(".new")
        shutil.copy(path, new)
        append(new, "three\n")
        new.rename(path)
        await until(lambda: "three" in intake.ids())
    assert intake.commits == [2, 1]


async def test_a_missing_file_is_waited_for_and_reported_once(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    with capture_logs() as logs:
        async with running_idle(lines):
            assert lines.is_idle()
            await pause(2.5)
            append(path, "one\n")
            await until(lambda: intake.ids() == {"one"})
    assert len(told(logs, "source.failed")) == 1


@pytest.mark.parametrize("kind", ["folder", "fifo"])
async def test_a_path_that_is_not_a_file_does_not_block_the_source(path: Path, lines: LinesFile, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with capture_logs() as logs:
        async with running(lines):
            await until(lambda: told(logs, "source.failed"))
            assert lines.is_idle()


async def test_a_cursor_that_makes_no_sense_means_the_beginning(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\n")
    intake.cursors["lines"] = "what?"
    async with running_idle(lines):
        assert intake.ids() == {"one"}


@pytest.mark.usefixtures("unmeasured")
async def test_a_long_file_is_read_in_pieces_each_committed_with_its_cursor(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "".join(f"id-{number}\n" for number in range(30_000)))
    async with running(lines):
        await until(lambda: len(intake.wishes) > 10_000)
    had = len(intake.wishes)
    async with running(again(path, intake)):
        await until(lambda: len(intake.wishes) == 30_000, within_s=20)
    assert sum(intake.commits) == 30_000, "nothing was read twice"
    assert max(intake.commits) < 20_000
    assert had >= 10_000


@pytest.mark.parametrize("opened", [1, 2])
async def test_whenever_reading_is_canceled_no_file_stays_open(
    opened: int, path: Path, intake: RecordingIntake
) -> None:
    append(path, "one\n")
    async with running(again(path, intake)):
        pass
    before = open_files()
    times = 0

    class Cancelling(PosixPath):
        """While this is active, a reader that opens the file is canceled."""

        def __fspath__(self) -> str:
            nonlocal times
            times += sys._getframe(1).f_code.co_name == "open"
            if times == opened:
                anyio.from_thread.run_sync(reading.cancel_scope.cancel)
            return super().__fspath__()

    async with anyio.create_task_group() as reading:
        await reading.start(again(Cancelling(path), intake).run)
        path.rename(path.with_name("ids.1"))
        append(path, "two\n")
        await anyio.sleep_forever()
    assert times == opened
    assert open_files() == before


def open_files() -> list[str]:
    """The open files of this process that are the file of lines or a rotated one."""
    names = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            names.append(str(number.readlink()))
        except FileNotFoundError:
            continue
    return sorted(name for name in names if "ids." in name)


async def test_a_last_line_without_newline_counts_after_ten_quiet_seconds(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\ntwo")
    async with running(lines):
        await pause(QUIET_S - 4.0)
        assert intake.ids() == {"one"}
        append(path, "-and-a-half")
        await pause(QUIET_S - 4.0)
        assert intake.ids() == {"one"}
        assert not lines.is_idle()
        await until(lambda: intake.ids() == {"one", "two-and-a-half"})
        await until(lines.is_idle)
        append(path, "three\n\nfour")
        await until(lambda: "three" in intake.ids())
    async with running(again(path, intake)):
        await until(lambda: "four" in intake.ids())
    assert intake.ids() == {"one", "two-and-a-half", "three", "four"}


@pytest.mark.parametrize("half", ['{"id": "on', "a blank", "# a remark"])
async def test_a_last_line_that_is_no_task_waits_for_its_newline(
    path: Path, lines: LinesFile, intake: RecordingIntake, half: str
) -> None:
    append(path, half)
    async with running(lines):
        await pause(QUIET_S + 1.0)
        await until(lines.is_idle)
        assert not intake.ids()
        append(path, 'e"}\ntwo\n')
        await until(lambda: "two" in intake.ids())
    assert intake.ids() == ({"one", "two"} if half.startswith("{") else {"two"})


async def test_of_a_rotated_file_the_last_line_without_newline_is_read_too(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\ntwo")
    async with running(lines):
        await until(lambda: intake.ids() == {"one"})
        path.rename(path.with_suffix(".1"))
        append(path, "three\n")
        await until(lambda: intake.ids() == {"one", "two", "three"}, within_s=20)


class StaleTail(Tail):
    """A file in a network folder that was deleted on the server."""

    def take(self, *, unended: bool = False) -> tuple[list[Line], Position]:
        raise OSError(errno.ESTALE, "Stale file handle")


async def test_a_file_deleted_on_a_file_server_is_opened_again(
    path: Path, lines: LinesFile, intake: RecordingIntake
) -> None:
    append(path, "one\n")
    async with running_idle(lines):
        lines._current = StaleTail.open(path)
        append(path, "two\n")
        await until(lambda: intake.ids() == {"one", "two"})
