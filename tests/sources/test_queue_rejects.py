"""The queue folder, with real files: which files are rejected, and where they are moved."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.sources.queue import Queue
from bridge.sources.queue_reader import RETRY_S
from bridge.sources.task_files import MAX_FILE_BYTES
from tests.fakes import RecordingIntake
from tests.sources.dropping import drop, inside, names_in, reason
from tests.sources.rig import SPEED, QuickClock, make_reader, pause, running
from tests.stopwatch import until


async def test_a_bad_file_is_moved_to_rejected_with_its_reason(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    content = '[\n"one",\n'
    with capture_logs() as logs:
        async with running(queue):
            drop(folder, "half.json", content)
            await until(lambda: not inside(folder))
            await until(queue.is_idle)
    assert not intake.ids()
    assert (folder / "rejected" / "half.json").read_text() == content
    assert reason(folder, "half.json") == "half.json:3: not JSON: the list is not closed; is the file complete?\n"
    assert [entry["name"] for entry in logs if entry["event"] == "queue.rejected"] == ["half.json"]


async def test_only_bad_entries_are_rejected_and_can_be_dropped_again(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    async with running(queue):
        drop(folder, "mixed.yaml", "tasks:\n  - one\n  - id: two\n    lable: x\n  - id: three\n    webhook: http://x\n")
        await until(lambda: not inside(folder))
        assert intake.ids() == {"one"}
        told = reason(folder, "mixed.yaml").splitlines()
        assert [line.split(": ")[0] for line in told] == ["mixed.yaml:1", "mixed.yaml:3"]
        assert 'did you mean "label"?' in told[0]
        assert "name an endpoint of the settings" in told[1]
        rest = (folder / "rejected" / "mixed.yaml").read_text()
        drop(
            folder,
            "corrected.yaml",
            rest.replace("lable", "label").replace("    webhook: http://x\n", "").replace("  webhook: http://x\n", ""),
        )
        await until(lambda: intake.ids() == {"one", "two", "three"})


async def test_clashing_names_get_a_number(folder: Path, queue: Queue) -> None:
    async with running(queue):
        for _ in range(3):
            drop(folder, "bad.json", "nonsense")
            await until(lambda: not inside(folder))
    kept = {f"bad{number}.json" for number in ("", "-1", "-2")}
    assert names_in(folder / "rejected") == kept | {f"{name}.reason" for name in kept}


async def test_the_longest_names_can_be_rejected(folder: Path, queue: Queue) -> None:
    name = "x" * 250 + ".json"
    async with running(queue):
        for _ in range(2):
            drop(folder, name, "nonsense")
            await until(lambda: not inside(folder))
    assert len(names_in(folder / "rejected")) == 4


async def test_names_with_newlines_or_bad_utf8_are_dealt_with_like_others(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    bad, newline = os.fsdecode(b"bad\xff.json"), "new\nline\x1b.json"
    with capture_logs() as logs:
        async with running(queue):
            for number, stem in enumerate(["good\xff", "good\n", os.fsdecode(b"good\xfe")]):
                drop(folder, f"{stem}.txt", f"id-{number}")
            drop(folder, bad, "nonsense")
            drop(folder, newline, "nonsense")
            await until(lambda: not inside(folder))
            drop(folder, "later.txt", "later")
            await until(lambda: "later" in intake.ids())
    assert intake.ids() == {"id-0", "id-1", "id-2", "later"}
    assert {bad, newline} < names_in(folder / "rejected")
    names = {entry["name"] for entry in logs if entry["event"] == "queue.rejected"}
    assert names == {r"bad\xff.json", r"new\nline\x1b.json"}
    assert reason(folder, newline).count("\n") == 1


async def test_a_queue_entry_that_is_not_a_file_is_rejected_unopened(
    folder: Path, tmp_path: Path, queue: Queue, intake: RecordingIntake
) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    folder.mkdir()
    (folder / "link.txt").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    (folder / "folder.yaml").mkdir()
    (folder / "folder.yaml" / "in.txt").write_text("inner")
    os.mkfifo(folder / "pipe.json")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "sock.txt"))
        async with running(queue):
            drop(folder, "good.txt", "one")
            await until(lambda: not inside(folder))
    rejected = folder / "rejected"
    assert intake.ids() == {"one"}
    assert outside.read_text() == "secret"
    assert (rejected / "link.txt").is_symlink()
    assert (rejected / "folder.yaml" / "in.txt").read_text() == "inner"
    assert "symbolic link" in reason(folder, "link.txt")
    assert "symbolic link" in reason(folder, "dangling")
    assert "folder" in reason(folder, "folder.yaml")
    assert "not a regular file" in reason(folder, "pipe.json")
    assert "not a regular file" in reason(folder, "sock.txt")


async def test_a_huge_file_is_rejected_unread(folder: Path, queue: Queue) -> None:
    folder.mkdir()
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(2**30)
    async with running(queue):
        await until(lambda: not inside(folder))
    assert f"{2**30} bytes; at most {MAX_FILE_BYTES}" in reason(folder, "huge.txt")


async def test_an_empty_file_is_given_time_and_then_rejected(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    folder.mkdir()
    begun = time.monotonic()
    (folder / "late.txt").touch()
    (folder / "never.txt").touch()
    async with running(queue):
        await pause(2)
        assert inside(folder) == {"late.txt", "never.txt"}
        assert not queue.is_idle()
        (folder / "late.txt").write_text("one")
        await until(lambda: inside(folder) == {"never.txt"})
        await until(lambda: not inside(folder), within_s=15)
    assert time.monotonic() - begun > 9.5 / SPEED
    assert intake.ids() == {"one"}
    assert "never.txt: the file is empty" in reason(folder, "never.txt")


@pytest.mark.parametrize("content", ["\n# nothing\n", "\ufeff"])
async def test_a_file_without_tasks_is_rejected(folder: Path, queue: Queue, content: str) -> None:
    async with running(queue):
        drop(folder, "a.txt", content)
        await until(lambda: not inside(folder))
    assert "no task" in reason(folder, "a.txt")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Let the whole process run as nobody until the end of the block, because root can read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that an unprivileged user can reach and write to (pytest's own is private)."""
    with as_nobody():
        place = Path(tempfile.mkdtemp())
    yield place
    shutil.rmtree(place)


async def test_an_unreadable_file_is_rejected_with_a_hint(open_place: Path, intake: RecordingIntake) -> None:
    folder = open_place / "queue"
    with as_nobody():
        drop(folder, "closed.txt", "one").chmod(0)
        drop(folder, "good.txt", "two")
        queue = Queue(folder, intake=intake, reader=make_reader(), clock=QuickClock())
        async with running(queue):
            await until(lambda: not inside(folder))
            assert "not readable" in reason(folder, "closed.txt")
    assert intake.ids() == {"two"}


async def test_a_folder_that_forbids_removing_takes_files_without_spinning(
    open_place: Path, intake: RecordingIntake
) -> None:
    folder = open_place / "queue"
    with as_nobody(), capture_logs() as logs:
        drop(folder, "a.txt", "one")
        folder.chmod(0o500)
        queue = Queue(folder, intake=intake, reader=make_reader(), clock=QuickClock())
        try:
            async with running(queue):
                await until(lambda: [entry for entry in logs if entry["event"] == "queue.stuck"])
                await until(queue.is_idle)
                await pause(RETRY_S + 1.0)
        finally:
            folder.chmod(0o700)
    assert intake.commits == [1], "or a task that was withdrawn meanwhile would be watched again"
    assert [entry["event"] for entry in logs if entry["event"] != "queue.created"] == ["queue.stuck", "queue.taken"]
    assert queue.tally.error == "a.txt could not be moved or removed: Permission denied"


async def test_a_half_bad_file_adds_its_tasks_once_even_if_rejecting_fails(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    folder.mkdir()
    (folder / "rejected").write_text("a file")
    drop(folder, "half.txt", "one\nbad id\n")
    async with running(queue):
        await until(lambda: queue.tally.error is not None)
        assert queue.tally.error == "half.txt could not be moved or removed: rejected: Not a directory"
        await pause(RETRY_S + 1.0)
        assert inside(folder) == {"half.txt"}
        assert intake.commits == [1]
        (folder / "rejected").unlink()
        await until(lambda: not inside(folder))
    assert (folder / "rejected" / "half.txt").read_text() == "bad id\n"
    assert intake.commits == [1]
    assert (queue.tally.taken, queue.tally.rejected) == (1, 1)


async def test_a_link_in_place_of_rejected_is_not_followed(
    folder: Path, tmp_path: Path, queue: Queue, intake: RecordingIntake
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "rejected").symlink_to(elsewhere)
    drop(folder, "bad.json", "nonsense")
    with capture_logs() as logs:
        async with running(queue):
            await until(lambda: [entry for entry in logs if entry["event"] == "queue.stuck"])
            drop(folder, "good.txt", "one")
            await until(lambda: intake.ids() == {"one"})
    assert not names_in(elsewhere)
    assert inside(folder) == {"bad.json"}


async def test_rejected_has_the_permissions_of_the_folder(folder: Path, queue: Queue) -> None:
    folder.mkdir()
    folder.chmod(0o2770)
    async with running(queue):
        drop(folder, "bad.json", "nonsense")
        await until(lambda: not inside(folder))
    assert (folder / "rejected").stat().st_mode & 0o7777 == 0o2770
