"""The drop folder, with real files: what is taken, when, and what stays."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.sources.drops import SETTLE_S
from bridge.sources.queue import Queue
from tests.fakes import RecordingIntake
from tests.sources.dropping import drop, inside
from tests.sources.rig import pause, running
from tests.stopwatch import Stopwatch, until


async def test_the_folder_is_made_for_its_owner_alone(folder: Path, queue: Queue) -> None:
    async with running(queue):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert queue.is_idle()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\r\n# two\ntwo\n"),
        ("a.jsonl", '"one"\n{"id": "two"}\n'),
        ("a.json", '{"tasks": ["one", {"id": "two"}]}'),
        ("a.yaml", "- one\n- id: two\n"),
        ("a.yml", "one\n---\n- two\n"),
        ("A.TXT", "one\ntwo"),
        ("with blank and ü.txt", "one\ntwo"),
    ],
)
async def test_a_file_is_taken_and_removed(
    folder: Path, queue: Queue, intake: RecordingIntake, name: str, content: str
) -> None:
    async with running(queue):
        drop(folder, name, content)
        await until(lambda: not inside(folder))
        assert intake.ids() == {"one", "two"}
        await until(queue.is_idle)


async def test_a_drop_is_taken_within_about_a_second(folder: Path, timely: Queue, intake: RecordingIntake) -> None:
    async with running(timely):
        dropped_at, taking = time.monotonic(), Stopwatch()
        drop(folder, "a.txt", "one")
        await until(intake.ids)
        assert time.monotonic() - dropped_at >= SETTLE_S * 0.9
        assert taking.seconds < 1.5


async def test_a_file_that_is_still_written_to_is_not_taken(
    folder: Path, timely: Queue, intake: RecordingIntake
) -> None:
    async with running(timely):
        with (folder / "slow.txt").open("w") as file:
            for part in range(8):
                file.write(f"id-{part}\n")
                file.flush()
                await anyio.sleep(SETTLE_S / 3)
                assert not intake.ids()
                assert not timely.is_idle() or part == 0
        await until(lambda: len(intake.ids()) == 8)
        assert intake.commits == [8]


async def test_a_file_leaves_only_after_its_commit(folder: Path, queue: Queue, intake: RecordingIntake) -> None:
    intake.hold()
    drop(folder, "a.txt", "one")
    async with running(queue):
        await until(lambda: intake.waiting)
        assert inside(folder) == {"a.txt"}
        assert not queue.is_idle()
        intake.release()
        await until(lambda: not inside(folder))


@pytest.mark.parametrize("how", ["replaced", "appended"])
async def test_a_file_that_changes_before_it_is_removed_is_read_again(
    folder: Path, queue: Queue, intake: RecordingIntake, how: str
) -> None:
    intake.hold()
    path = drop(folder, "a.txt", "one\n")
    async with running(queue):
        await until(lambda: intake.waiting)
        if how == "replaced":
            drop(folder, "a.txt", "two\n")
        else:
            with path.open("a") as file:
                file.write("two\n")
        intake.release()
        await until(lambda: intake.ids() == {"one", "two"})
        await until(lambda: not inside(folder))


async def test_names_that_are_not_for_us_are_left_alone_and_warned_of_once(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    names = {".hidden.txt", "a.txt.tmp", "b.part", "c.yaml~", "notes.md", "noextension"}
    folder.mkdir()
    for name in names:
        (folder / name).write_text("x")
    with capture_logs() as logs:
        async with running(queue):
            await until(lambda: logs)
            assert queue.is_idle()
            drop(folder, "a.txt", "one")
            await until(lambda: intake.ids() == {"one"})
            drop(folder, "b.txt", "two")
            await until(lambda: intake.ids() == {"one", "two"})
            await until(lambda: inside(folder) == names)
    told = [entry for entry in logs if entry["event"] == "queue.left_alone"]
    assert sum(entry["files"] for entry in told) == len(names)


async def test_a_folder_that_vanishes_is_waited_for_and_warned_of_once(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    with capture_logs() as logs:
        async with running(queue):
            folder.rmdir()
            await until(lambda: [entry for entry in logs if entry["event"] == "source.failed"])
            await pause(2.5)
            assert queue.is_idle()
            drop(folder, "a.txt", "one")
            await until(lambda: intake.ids() == {"one"})
            await until(lambda: not inside(folder))
            drop(folder, "b.txt", "two")
            await until(lambda: intake.ids() == {"one", "two"})
    events = [entry["event"] for entry in logs if entry["event"].startswith("source.")]
    assert events == ["source.failed", "source.recovered"]


async def test_ten_thousand_files_at_once_are_taken_in_few_commits(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    folder.mkdir()

    def fill() -> None:
        for number in range(10_000):
            (folder / f"{number}.txt").write_text(f"id-{number}")

    writer = threading.Thread(target=fill)
    writer.start()
    try:
        async with running(queue):
            await until(lambda: len(intake.ids()) == 10_000, within_s=60)
            await until(lambda: not inside(folder), within_s=60)
    finally:
        writer.join()
    assert len(intake.commits) < 500


async def test_a_long_file_is_handed_over_in_chunks_and_removed_after_the_last(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    lines = [f"id-{number}" for number in range(20_000)]
    lines[12_345] = "x" * 600
    drop(folder, "long.txt", "\n".join(lines))
    intake.hold()
    async with running(queue):
        await until(lambda: intake.waiting)
        intake.release()
        while inside(folder):
            assert len(intake.ids()) <= 19_999
            before = len(intake.ids())
            await anyio.sleep(0)
            assert inside(folder) or before == 19_999
        assert len(intake.ids()) == 19_999
    assert max(intake.commits) <= 1000
    assert (folder / "rejected" / "long.txt").read_text() == "x" * 600 + "\n"


async def test_an_empty_folder_costs_next_to_nothing(folder: Path, timely: Queue) -> None:
    async with running(timely):
        await anyio.sleep(0.5)
        before = time.process_time()
        await anyio.sleep(4)
        assert time.process_time() - before < 0.1


async def test_every_form_of_id_arrives_as_it_was_written(folder: Path, queue: Queue, intake: RecordingIntake) -> None:
    ids = ["../up", "a%2fb", "a?b#c", "🎬", "0123", "no", "12:30:00", '"quoted"', "x" * 512]
    async with running(queue):
        drop(folder, "a.json", json.dumps(ids))
        await until(lambda: intake.ids() == set(ids))
