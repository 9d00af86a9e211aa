"""Files inside answers are kept until they are copied, and requested again if they are lost."""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.archive.answer_spool import AnswerSpool
from bridge.archive.download import AskAgain, cannot_ask
from bridge.domain.answer_file import AnswerFile
from bridge.domain.archive_names import spool_name
from bridge.domain.delivery import Accepted, Deferred, Undeliverable
from bridge.domain.event import Event
from bridge.domain.task import Json, Reading, ReadingKind, Snapshot
from tests.archive.copies import FOLDER, archive_in, copied, files, record, sha256, spool_in
from tests.sinks.samples import task_sample

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 9
ITEM = {"embedded": True, "media_type": "image/png", "bytes": len(PNG)}


def answer(*contents: bytes, kind: str = "images") -> Reading:
    """A success whose answer contains the result files."""
    inside = tuple(AnswerFile(kind, place, base64.b64encode(each).decode()) for place, each in enumerate(contents))
    items = [{**ITEM, "bytes": len(each)} for each in contents]
    return Reading(kind=ReadingKind.SUCCEEDED, snapshot=Snapshot(result={kind: items}, files=inside))


def event_of(reading: Reading) -> Event:
    assert reading.snapshot is not None
    return task_sample(snapshot=reading.snapshot, label="cat", task_id="t-1")


async def spooled(root: Path, reading: Reading) -> Event:
    return event_of(await spool_in(root).keep("kling", "t-1", reading))


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".partial").iterdir()) if (root / ".partial").is_dir() else []


async def test_files_inside_an_answer_are_on_disk_before_the_event_is_stored(tmp_path: Path) -> None:
    reading = await spool_in(tmp_path).keep("kling", "t-1", answer(PNG, MP4))

    assert reading.snapshot is not None
    assert reading.snapshot.files == ()
    first, second = reading.snapshot.result["images"]
    assert first == {**ITEM, "sha256": sha256(PNG)}
    assert second["sha256"] == sha256(MP4)
    assert sorted(files(tmp_path).values()) == sorted([PNG, MP4])


async def test_files_from_answers_are_copied_and_their_spool_is_removed(tmp_path: Path) -> None:
    event = await spooled(tmp_path, answer(PNG, PNG))

    outcome = await copied(archive_in(tmp_path), event)

    assert isinstance(outcome, Accepted), outcome
    assert files(tmp_path).keys() == {f"{FOLDER}/cat-1.png", f"{FOLDER}/cat-2.png", f"{FOLDER}/cat.json"}
    told = record(tmp_path)["data"]["archive"]
    assert [(one["n"], one["bytes"], one["sha256"]) for one in told] == [
        (1, len(PNG), sha256(PNG)),
        (2, len(PNG), sha256(PNG)),
    ]
    assert files(tmp_path)[told[1]["path"]] == PNG
    assert outcome.event is not None
    assert outcome.event.data["archive"][0]["media_type"] == "image/png"


async def test_the_bytes_decide_the_type_and_not_the_stated_one(tmp_path: Path) -> None:
    await copied(archive_in(tmp_path), await spooled(tmp_path, answer(MP4)))

    assert f"{FOLDER}/cat-1.mp4" in files(tmp_path)


async def test_a_copy_that_was_made_before_a_crash_is_found_again(tmp_path: Path) -> None:
    event = await spooled(tmp_path, answer(PNG))
    await copied(archive_in(tmp_path), event)
    await spooled(tmp_path, answer(PNG))  # as after a crash just before the finish was stored

    assert isinstance(await copied(archive_in(tmp_path), event), Accepted)
    assert left(tmp_path) == []


def asked(reading: Reading, *, spool: Path | None = None) -> tuple[AskAgain, list[str]]:
    """A provider that gives this answer when it is polled again."""
    ids: list[str] = []

    async def ask(task_id: str, action: str | None) -> Reading:
        ids.append(task_id)
        return reading if spool is None else await spool_in(spool).keep("kling", task_id, reading)

    return ask, ids


async def lost(root: Path) -> Event:
    """The event of a file that was kept and then deleted."""
    event = await spooled(root, answer(PNG))
    for path in (root / ".partial").iterdir():
        path.unlink()
    return event


async def damaged(root: Path) -> Event:
    event = await spooled(root, answer(PNG))
    for path in (root / ".partial").iterdir():
        path.write_bytes(PNG[:-1] + b"x")
    return event


async def unkept(root: Path) -> Event:
    """The event of a file that could not be kept. People are still notified that its task has finished."""
    event = event_of(await spool_in(root, space=no_space).keep("kling", "t-1", answer(PNG)))
    assert "sha256" not in event.data["task_result"]["images"][0]
    assert left(root) == []
    return event


def no_space(more_bytes: int) -> str:
    return "less than 5% of the disk is free"


@pytest.mark.parametrize("how", [lost, damaged, unkept])
async def test_a_missing_file_is_requested_once(tmp_path: Path, how: Callable[[Path], Awaitable[Event]]) -> None:
    event = await how(tmp_path)
    ask, ids = asked(answer(PNG), spool=tmp_path)

    assert isinstance(await copied(archive_in(tmp_path, ask_again=ask), event), Accepted)

    assert ids == ["t-1"]
    assert files(tmp_path)[f"{FOLDER}/cat-1.png"] == PNG
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("reading", "is_final", "reason"),
    [
        (Reading(kind=ReadingKind.TRANSIENT, detail="HTTP 503", retry_after_s=7.0), False, "polled again: HTTP 503"),
        (Reading(kind=ReadingKind.NOT_FOUND), False, "polled again: not_found"),
        (Reading(kind=ReadingKind.EXPIRED_RESULT, detail="it is gone"), True, "polled again: it is gone"),
        (
            Reading(kind=ReadingKind.SUCCEEDED, snapshot=Snapshot(result={"images": []})),
            False,
            "no longer contains the file",
        ),
        (answer(PNG).without_files(), False, "cannot be kept"),
    ],
)
async def test_an_answer_without_the_file_is_a_failed_attempt(
    tmp_path: Path, reading: Reading, is_final: bool, reason: str
) -> None:
    event = await lost(tmp_path)
    ask, _ = asked(reading)

    outcome = await copied(archive_in(tmp_path, ask_again=ask), event)

    assert isinstance(outcome, Undeliverable if is_final else Deferred)
    assert reason in outcome.reason
    if isinstance(outcome, Deferred):
        assert outcome.retry_after_s == reading.retry_after_s


async def test_a_program_that_polls_nothing_says_so(tmp_path: Path) -> None:
    outcome = await copied(archive_in(tmp_path, ask_again=cannot_ask), await lost(tmp_path))
    assert isinstance(outcome, Deferred)
    assert "only the daemon can poll the task" in outcome.reason


@pytest.mark.parametrize(("most_bytes", "kinds"), [(len(PNG) - 1, ["images"]), (1 << 20, ["videos"])])
async def test_files_excluded_by_the_settings_are_not_kept(
    tmp_path: Path, most_bytes: int, kinds: Sequence[str]
) -> None:
    spool = spool_in(tmp_path, most_bytes=most_bytes, kinds=kinds)

    reading = await spool.keep("kling", "t-1", answer(PNG))

    assert reading.snapshot is not None
    assert (reading.snapshot.files, reading.snapshot.result["images"]) == ((), [ITEM])
    assert left(tmp_path) == []


async def test_a_file_over_max_size_is_not_requested(tmp_path: Path) -> None:
    event = event_of(await spool_in(tmp_path, most_bytes=9).keep("kling", "t-1", answer(PNG)))
    ask, ids = asked(answer(PNG), spool=tmp_path)

    outcome = await copied(archive_in(tmp_path, most_bytes=9, ask_again=ask), event)

    assert isinstance(outcome, Undeliverable)
    assert "more than archive.max_size" in outcome.reason
    assert ids == []


async def test_a_file_with_invalid_base64_is_not_kept(tmp_path: Path) -> None:
    reading = answer(PNG, PNG)
    assert reading.snapshot is not None
    broken = AnswerFile("images", 0, "data:image/png;base64,####")
    reading = reading._replace(snapshot=reading.snapshot._replace(files=(broken, reading.snapshot.files[1])))

    kept = await spool_in(tmp_path).keep("kling", "t-1", reading)

    assert kept.snapshot is not None
    assert ["sha256" in item for item in kept.snapshot.result["images"]] == [False, True]
    assert len(left(tmp_path)) == 1


async def test_a_folder_that_cannot_be_written_does_not_delay_the_finish(tmp_path: Path) -> None:
    (tmp_path / ".partial").write_text("a file")

    reading = await spool_in(tmp_path).keep("kling", "t-1", answer(PNG))

    assert reading.snapshot is not None
    assert (reading.snapshot.files, reading.snapshot.result["images"]) == ((), [ITEM])


async def test_tasks_do_not_take_each_others_files(tmp_path: Path) -> None:
    await spool_in(tmp_path).keep("kling", "t-1", answer(PNG))
    await spool_in(tmp_path).keep("kling", "t-2", answer(MP4))
    await spool_in(tmp_path).keep("other", "t-1", answer(MP4))
    assert len(left(tmp_path)) == 3


async def test_a_crash_while_a_file_is_written_leaves_no_file_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "fsync", crash)
    reading = await spool_in(tmp_path).keep("kling", "t-1", answer(PNG))

    assert reading.snapshot is not None
    assert reading.snapshot.result["images"] == [ITEM]
    assert left(tmp_path) == []


async def test_a_finish_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, within_s=0.5)
    pipe = tmp_path / ".partial" / f"{spool_name('kling', 't-1', 'images', 0)}.tmp"
    pipe.parent.mkdir()
    os.mkfifo(pipe)  # opening it for writing blocks until there is a reader

    with capture_logs() as logged, anyio.fail_after(20):
        readings = [await spool.keep("kling", task_id, answer(PNG)) for task_id in ("t-1", "t-2")]

    for reading in readings:
        assert reading.snapshot is not None
        assert reading.snapshot.files == ()
        assert "sha256" not in reading.snapshot.result["images"][0]
    assert [one["reason"] for one in logged] == ["the archive does not respond"] * 2

    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    with anyio.fail_after(20):
        while "sha256" not in (await images_of(spool, "t-3"))[0]:
            await anyio.sleep(0.05)


async def images_of(spool: AnswerSpool, task_id: str) -> Sequence[Mapping[str, Json]]:
    reading = await spool.keep("kling", task_id, answer(PNG))
    assert reading.snapshot is not None
    return reading.snapshot.result["images"]
