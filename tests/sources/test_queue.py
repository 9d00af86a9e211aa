"""The queue folder, with real files: which files are taken, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.watch import Wish
from bridge.ports import Added
from bridge.sources.queue import Queue, in_turn
from bridge.sources.queue_files import SETTLE_S, FileState, QueueFile
from bridge.sources.queue_reader import MOST_FILES
from tests.fakes import RecordingIntake
from tests.sources.dropping import drop, inside, reason
from tests.sources.rig import QuickClock, make_reader, pause, running
from tests.stopwatch import Stopwatch, until


async def test_only_the_owner_can_use_the_created_folder(folder: Path, queue: Queue) -> None:
    async with running(queue):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert queue.is_idle()


async def test_a_folder_is_created_and_logged_only_if_its_parent_exists(tmp_path: Path) -> None:
    folder = tmp_path / "mistyped" / "queue"
    intake = RecordingIntake()
    with capture_logs() as logs:
        async with running(Queue(folder, intake=intake, reader=make_reader(), clock=QuickClock())):
            await until(lambda: any(entry["event"] == "source.failed" for entry in logs))
            assert not folder.parent.exists()
            assert str(folder.parent) in logs[0]["reason"]
            folder.parent.mkdir()
            await until(folder.is_dir)
            await until(lambda: any(entry["event"] == "source.recovered" for entry in logs))
            folder.rmdir()
            await anyio.sleep(0.5)
            assert not folder.exists(), "it may be an unmounted file system"
    assert [entry["folder"] for entry in logs if entry["event"] == "queue.created"] == [str(folder)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\r\n# two\ntwo\n"),
        ("a.jsonl", '"one"\n{"id": "two"}\n'),
        ("a.json", '{"tasks": ["one", {"id": "two"}]}'),
        ("a.yaml", "- one\n- id: two\n"),
        ("a.yml", "one\n---\n- two\n"),
        ("A.TXT", "one\ntwo"),
        ("a.csv", "id,label\none,x\ntwo,y\n"),
        ("noextension", "one\ntwo"),
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
                assert not timely.is_idle() or part < 4  # the folder is checked twice a second
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


async def test_files_with_other_names_are_ignored_with_one_warning(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    names = {".hidden.txt", "a.txt.tmp", "b.part", "c.yaml~", "notes.md", "d.txt.filepart"}
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


async def test_a_folder_that_disappears_is_waited_for_with_one_warning(
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


@pytest.mark.usefixtures("unmeasured")
async def test_thousands_of_files_at_once_are_taken_in_few_commits(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    folder.mkdir()

    def fill() -> None:
        for number in range(3000):
            (folder / f"{number}.txt").write_text(f"id-{number}")

    writer = threading.Thread(target=fill)
    writer.start()
    try:
        async with running(queue):
            await until(lambda: len(intake.wishes) == 3000, within_s=60)
            await until(lambda: not inside(folder), within_s=60)
    finally:
        writer.join()
    assert len(intake.commits) < 150


@pytest.mark.usefixtures("unmeasured")
async def test_a_long_file_is_handed_over_in_chunks_and_then_removed(
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
            assert len(intake.wishes) <= 19_999
            before = len(intake.wishes)
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
    ids = ["../up", "a%2fb", "a?b#c", "🎬", "0123", "no", "12:30:00", "a=b&c", "x" * 512]
    async with running(queue):
        drop(folder, "a.json", json.dumps(ids))
        await until(lambda: intake.ids() == set(ids))


async def test_a_create_calls_answer_is_the_task_that_it_created(folder: Path, intake: RecordingIntake) -> None:
    def created(answer: Any, account: str | None) -> Mapping[str, Any] | None:
        return {"id": answer["data"]["task_id"]} if "data" in answer else None

    queue = Queue(folder, intake=intake, reader=make_reader(created=created), clock=QuickClock())
    async with running(queue):
        drop(folder, "answer.json", '{"code": 0, "data": {"task_id": "one"}}')
        drop(folder, "more.jsonl", '{"code": 0, "data": {"task_id": "two"}}\n{"id": "three"}\n')
        drop(folder, "answer", '{"code": 0, "data": {"task_id": "four"}}')
        await until(lambda: intake.ids() == {"one", "two", "three", "four"} and not inside(folder))


async def test_a_file_without_suffix_needs_an_id_in_every_line(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    async with running(queue):
        drop(folder, "ids", "one\n\ntwo")
        drop(folder, "notes", "three\na cat surfing\n")
        await until(lambda: not inside(folder))
    assert intake.ids() == {"one", "two"}
    assert (folder / "rejected" / "notes").read_text() == "three\na cat surfing\n"
    assert 'line 2: id: "a cat surfing": blanks' in reason(folder, "notes")
    assert "valid id in every line" in reason(folder, "notes")


async def test_bad_rows_of_a_csv_file_are_rejected_under_its_header(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    async with running(queue):
        drop(folder, "shots.csv", "id;label\none;Shot 1\ntwo;Shot 2;x\nbad id;Shot 3\n")
        await until(lambda: not inside(folder))
    assert {wish.label for wish in intake.wishes.values()} == {"Shot 1"}
    assert (folder / "rejected" / "shots.csv").read_text() == "id;label\ntwo;Shot 2;x\nbad id;Shot 3\n"
    first, second = reason(folder, "shots.csv").splitlines()
    assert first == "shots.csv:2: 3 cells, but 2 columns (line 3 of the dropped file)"
    assert second.startswith('shots.csv:3: id: "bad id": blanks are not allowed')


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.long
async def test_a_file_does_not_wait_behind_thousands_that_came_before_it(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number}.txt").write_text(f"id-{number}\n")
    intake.hold()
    async with running(queue):
        await until(lambda: intake.waiting)  # the first commit, of a part of them
        drop(folder, "good.txt", "good\n")
        intake.release()
        await until(lambda: not inside(folder), within_s=60)
    in_order = [key.task_id for key in intake.wishes]
    assert len(in_order) == 3001
    assert in_order.index("good") < 3000


@pytest.mark.usefixtures("unmeasured")
async def test_a_file_does_not_wait_behind_medium_ones_that_came_before_it(folder: Path) -> None:
    class Looking(RecordingIntake):
        left = 0  # files in the folder when tasks were last committed

        async def add(
            self, wishes: Sequence[Wish], *, source: str, revive: bool = True, cursor: str | None = None
        ) -> list[Added]:
            self.left = len(inside(folder))
            return await super().add(wishes, source=source, cursor=cursor)

    folder.mkdir()
    for number in range(600):  # they take longer than a file takes to settle, also on a quick machine
        (folder / f"{number}.yaml").write_text("- a b\n" * 5000)  # nothing of it is committed
    intake = Looking()
    async with running(Queue(folder, intake=intake, reader=make_reader(), clock=QuickClock())):
        await until(lambda: len(inside(folder)) < 600)
        drop(folder, "good.txt", "good\n")
        await until(lambda: "good" in intake.ids(), within_s=60)
        assert intake.left > 100, "good did not wait for all of them"


def test_of_many_files_each_is_taken_once() -> None:
    drops = [QueueFile(str(n), FileState(n, 1, n), 0o100644, 0.0) for n in range(MOST_FILES + 2)]
    taken = [drop.name for drop in in_turn(drops)]
    assert taken[:4] == ["0", str(MOST_FILES + 1), "1", str(MOST_FILES)]
    assert sorted(taken) == sorted(drop.name for drop in drops)
