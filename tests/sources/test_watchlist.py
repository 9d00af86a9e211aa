"""The watchlist: its tasks are watched, and tasks that a valid list no longer contains are withdrawn."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.clock import SystemClock
from bridge.sources.watchlist import SETTLE_S, Watchlist
from tests.factories import make_wish
from tests.fakes import RecordingIntake
from tests.sources import rig
from tests.sources.rig import QuickClock, make_reader, pause
from tests.stopwatch import Stopwatch, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.yaml"


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake()


@pytest.fixture
def watchlist(path: Path, intake: RecordingIntake) -> Watchlist:
    return Watchlist(path, intake=intake, reader=make_reader(), clock=QuickClock())


@pytest.fixture
def timely(path: Path, intake: RecordingIntake) -> Watchlist:
    """One that runs by the real clock."""
    return Watchlist(path, intake=intake, reader=make_reader(), clock=SystemClock())


@asynccontextmanager
async def running(watchlist: Watchlist) -> AsyncIterator[None]:
    """The watchlist, started, with the file read once. On a busy machine, it starts before it has read the file."""
    async with rig.running(watchlist):
        await until(watchlist.is_idle)
        yield


def told(logs: list[Any], event: str) -> list[Any]:
    return [entry for entry in logs if entry["event"] == event]


@pytest.mark.parametrize(
    "text", ["- one\n- id: two\n", "tasks:\n  - one\n  - {id: two, label: x}\n", "[one, two, one]"]
)
async def test_listed_tasks_are_watched_after_the_start(
    path: Path, watchlist: Watchlist, intake: RecordingIntake, text: str
) -> None:
    path.write_text(text)
    async with running(watchlist):
        assert intake.ids() == {"one", "two"}
        assert watchlist.is_idle()


async def test_a_json_list_is_a_list_too(tmp_path: Path, intake: RecordingIntake) -> None:
    path = tmp_path / "tasks.json"
    path.write_text('{"tasks": ["one", 2]}')
    async with running(Watchlist(path, intake=intake, reader=make_reader(), clock=QuickClock())):
        assert intake.ids() == {"one", "2"}


async def test_new_entries_are_added_and_removed_ones_withdrawn(
    path: Path, timely: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n- two\n")
    async with running(timely):
        changed_at, taking = time.monotonic(), Stopwatch()
        path.write_text("- two\n- three\n")
        await until(lambda: intake.ids() == {"two", "three"})
        assert time.monotonic() - changed_at >= SETTLE_S * 0.9
        assert taking.seconds < 2.0
        path.write_text("tasks: []")
        await until(lambda: not intake.ids())


async def test_a_file_replaced_by_an_editor_is_noticed(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n")
    async with running(watchlist):
        new = path.with_suffix(".new")
        new.write_text("- two\n")
        new.rename(path)
        await until(lambda: intake.ids() == {"two"})


async def test_a_change_that_keeps_size_and_mtime_is_noticed(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n")
    before = path.stat()
    async with running(watchlist):
        path.write_text("- two\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await until(lambda: intake.ids() == {"two"})


async def test_a_folder_of_a_mounted_config_map_that_is_swapped_is_noticed(
    tmp_path: Path, intake: RecordingIntake
) -> None:
    for folder, task in (("1", "one"), ("2", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tasks.yaml").write_text(f"- {task}\n")
        os.utime(tmp_path / folder / "tasks.yaml", ns=(0, 0))
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "tasks.yaml").symlink_to("data/tasks.yaml")
    async with running(Watchlist(tmp_path / "tasks.yaml", intake=intake, reader=make_reader(), clock=QuickClock())):
        assert intake.ids() == {"one"}
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(tmp_path / "data")
        await until(lambda: intake.ids() == {"two"})


async def test_a_file_that_keeps_changing_withdraws_nothing(
    path: Path, timely: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n- two\n")
    async with running(timely):
        for part in range(6):
            path.write_text("- one\n" + "#" * part)
            await anyio.sleep(SETTLE_S / 3)
            assert intake.ids() == {"one", "two"}
        assert not timely.is_idle()
        await until(lambda: intake.ids() == {"one"})
        assert intake.syncs == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# all gone\n",
        "tasks:\n",
        "tasks:\n#  - one\n",
        "one",
        "id: one",
        "- one\n- {two\n",
        "\0",
        "tasks: {}",
        "tasks: []\nmore: x",
    ],
)
async def test_an_empty_or_invalid_file_withdraws_nothing_and_is_reported_once(
    path: Path, watchlist: Watchlist, intake: RecordingIntake, text: str
) -> None:
    path.write_text("- one\n")
    with capture_logs() as logs:
        async with running(watchlist):
            path.write_text(text)
            await until(lambda: told(logs, "watchlist.invalid"))
            os.utime(path)
            await until(lambda: not watchlist.is_idle())
            await until(watchlist.is_idle)
            assert intake.ids() == {"one"}
    (entry,) = told(logs, "watchlist.invalid")
    assert entry["problems"][0].startswith("tasks.yaml:")
    assert entry["withdrawn"] == 0


async def test_with_a_bad_entry_good_ones_are_added_and_nothing_is_withdrawn(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n")
    with capture_logs() as logs:
        async with running(watchlist):
            path.write_text("- two\n" + "- <html>\n" * 30 + "- id: three\n  webhook: http://x\n")
            await until(lambda: intake.ids() == {"one", "two"})
            await until(watchlist.is_idle)
            assert intake.syncs == 2  # as for a valid list, so tasks that a person withdrew stay withdrawn
            path.write_text("- two\n- id: three\n")
            await until(lambda: intake.ids() == {"two", "three"})
    (entry,) = told(logs, "watchlist.invalid")
    assert (entry["good"], entry["bad"]) == (1, 1)
    assert entry["problems"][0].startswith('tasks.yaml:32: "webhook"'), "not a refused id, which is only a warning"


async def test_a_refused_id_is_a_warning_and_neither_watched_nor_withdrawn(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    of_old = make_wish(task_id="of old times", action="videos/text2video")
    await intake.sync([of_old], source="watchlist")
    path.write_text("- one\n- of old times\n- <html>\n")
    with capture_logs() as logs:
        async with running(watchlist):
            assert intake.ids() == {"one", "of old times"}
            path.write_text("- two\n- of old times\n")
            await until(lambda: intake.ids() == {"two", "of old times"})
            path.write_text("- two\n")
            await until(lambda: intake.ids() == {"two"})
    assert not told(logs, "watchlist.invalid")
    first, _ = told(logs, "watchlist.refused")
    assert first["log_level"] == "warning"
    assert [problem.partition(" id: ")[0] for problem in first["problems"]] == ["tasks.yaml:2:", "tasks.yaml:3:"]


async def test_a_missing_file_withdraws_nothing_and_is_reported_once(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n")
    with capture_logs() as logs:
        async with running(watchlist):
            path.rename(path.with_suffix(".away"))
            await until(lambda: told(logs, "source.failed"))
            await pause(2.5)
            assert watchlist.is_idle()
            assert intake.ids() == {"one"}
            path.write_text("- two\n")
            await until(lambda: intake.ids() == {"two"})
    assert len(told(logs, "source.failed")) == len(told(logs, "source.recovered")) == 1
    assert told(logs, "source.failed")[0]["reason"] == f"No such file or directory: {path}"


@pytest.mark.parametrize("kind", ["folder", "fifo", "huge"])
async def test_an_invalid_list_is_reported_once_and_does_not_block(
    path: Path, watchlist: Watchlist, intake: RecordingIntake, kind: str
) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(2**30)
    with capture_logs() as logs:
        async with running(watchlist):
            await until(lambda: told(logs, "source.failed"))
            await pause(4.5)
            assert watchlist.is_idle()
    assert len(told(logs, "source.failed")) == 1
    assert not told(logs, "source.recovered")
    assert not intake.commits


async def test_the_same_content_again_is_not_handed_over_again(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("- one\n")
    async with running(watchlist):
        os.utime(path)
        await until(lambda: not watchlist.is_idle())
        await until(watchlist.is_idle)
        assert intake.syncs == 1


async def test_other_files_in_the_folder_are_ignored(path: Path, watchlist: Watchlist, intake: RecordingIntake) -> None:
    path.write_text("- one\n")
    async with running(watchlist):
        (path.parent / "state.db").write_text("busy")
        path.with_suffix(".yml").write_text("- two")
        await pause(1.5)
        assert intake.ids() == {"one"}
        assert intake.syncs == 1


async def test_a_large_list_is_read_after_a_restart_of_the_source(
    path: Path, watchlist: Watchlist, intake: RecordingIntake
) -> None:
    path.write_text("[]")
    async with running(watchlist):
        pass
    path.write_text("".join(f"- id-{number}\n" for number in range(10_000)))
    async with running(watchlist):
        await until(lambda: len(intake.ids()) == 10_000)
