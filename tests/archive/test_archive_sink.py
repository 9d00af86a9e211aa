"""Which results are copied, and under which names, from real servers into a real folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from bridge.archive.archive_sink import ArchiveSink
from bridge.archive.folder import Folder
from bridge.archive.part_file import PartFile
from bridge.domain.delivery import Accepted, Deferred, Undeliverable
from bridge.domain.event import Topic
from bridge.domain.ids import ARCHIVE
from bridge.net.connector import resolved
from tests.archive.copies import FOLDER, MP4, archive_in, copied, delivery_of, files, finished, record, sha256
from tests.loopback import Exchange, answers, loopback
from tests.sinks.samples import ENDED_AT, every_sample


async def test_a_copy_has_a_record_in_the_same_folder(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4, {"Content-Type": "application/octet-stream"})) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.bin", f"{server.url}/b.bin"))

    assert isinstance(outcome, Accepted)
    assert set(files(tmp_path)) == {f"{FOLDER}/cat-1.mp4", f"{FOLDER}/cat-2.mp4", f"{FOLDER}/cat.json"}
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == MP4
    noted = record(tmp_path)
    assert noted["topic"] == "task_succeeded"
    assert noted["data"]["archive"][0] == {
        "kind": "videos",
        "n": 1,
        "path": f"{FOLDER}/cat-1.mp4",
        "url": None,
        "bytes": len(MP4),
        "sha256": sha256(MP4),
        "media_type": "video/mp4",
    }


async def test_task_archived_has_the_data_of_the_final_event_with_archive_filled(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        event = finished(f"{server.url}/a.mp4")
        first = await copied(archive_in(tmp_path), event)
        again = await copied(archive_in(tmp_path), event)
        assert len(server.asked) == 1

    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert first.event is not None
    assert again.event is not None
    assert first.event.topic is Topic.TASK_ARCHIVED
    assert first.event.event_id == again.event.event_id != event.event_id
    assert first.event.data.keys() == event.data.keys()
    [told] = first.event.data["archive"]
    assert told["url"] == f"https://bridge.example.com/results/{FOLDER}/cat-1.mp4"
    assert told["path"] == f"{FOLDER}/cat-1.mp4"


def test_only_a_success_with_results_of_the_wanted_kinds_is_copied(tmp_path: Path) -> None:
    sink = archive_in(tmp_path, kinds=["videos"])

    assert [event.topic for event in every_sample() if sink.parcels(event)] == [Topic.TASK_SUCCEEDED]
    assert not sink.parcels(finished("https://cdn.example.com/a.png", kind="images"))
    assert sink.parcels(finished("https://cdn.example.com/a.mp4"))[0].endpoint == ARCHIVE


def test_a_url_that_expires_sooner_is_due_first(tmp_path: Path) -> None:
    def due_at(expires_ms: int | None) -> float:
        return archive_in(tmp_path).parcels(finished("https://cdn.example.com/a.mp4", expires_ms=expires_ms))[0].due_at

    soon, later = int(ENDED_AT * 1000) + 600_000, int(ENDED_AT * 1000) + 86_400_000
    assert due_at(soon) < due_at(later) < due_at(None) == 0.0


async def test_one_result_that_fails_keeps_no_other_from_being_copied(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(*((500, b"") if "bad" in exchange.asked.target else (200, MP4)))

    async with loopback(script) as server:
        event = finished(f"{server.url}/bad.mp4", f"{server.url}/good.mp4")
        outcome = await copied(archive_in(tmp_path), event)

    assert isinstance(outcome, Deferred)
    assert outcome.reason == "videos 1: HTTP 500"
    assert (tmp_path / FOLDER / "cat-2.mp4").read_bytes() == MP4


async def test_results_that_fail_for_one_reason_are_named_together(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        status = next((code for code in (500, 502) if str(code) in exchange.asked.target), 200)
        await exchange.answer(status, MP4 if status == 200 else b"")

    async with loopback(script) as server:
        names = ("500-a", "good", "500-b", "502-a", "502-b", "502-c")
        outcome = await copied(archive_in(tmp_path), finished(*(f"{server.url}/{name}.mp4" for name in names)))

    assert isinstance(outcome, Deferred)
    assert outcome.reason == "videos 1,3: HTTP 500; videos 4-6: HTTP 502"


async def test_a_private_address_gets_no_request(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        outcome = await copied(archive_in(tmp_path, hosts=["gateway.example.com"]), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Undeliverable)
    assert "not on the public internet" in outcome.reason
    assert server.connections == 0


async def test_a_public_name_at_a_private_address_is_tried_again(tmp_path: Path) -> None:
    sink = archive_in(tmp_path, resolve=lambda host, port: resolved("10.0.0.7", port))
    outcome = await copied(sink, finished("http://cdn.example.com/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "cdn.example.com is not on the public internet: 10.0.0.7 is a private network" in outcome.reason


async def test_the_key_is_sent_only_for_results_that_need_it(tmp_path: Path) -> None:
    sink = archive_in(tmp_path, key_for=lambda url: {"Authorization": "Bearer canary"})
    async with loopback(answers(200, MP4)) as server:
        await copied(sink, finished(f"{server.url}/closed.mp4", f"{server.url}/open.mp4"))

    sent = {one.target: one.headers.get("authorization") for one in server.asked}
    assert sent == {"/closed.mp4": "Bearer canary", "/open.mp4": None}
    assert not any(b"canary" in content for content in files(tmp_path).values())


async def test_two_tasks_with_one_label_get_names_of_their_own(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        for task_id in ("t-1", "t-2", "t-1"):
            event = finished(f"{server.url}/{task_id}.mp4", task_id=task_id)
            assert isinstance(await copied(archive_in(tmp_path), event), Accepted)

    marks = finished("", task_id="t-2").event_id[4:12]
    names = {"cat.json", "cat-1.mp4", f"cat-{marks}.json", f"cat-{marks}-1.mp4"}
    assert set(files(tmp_path)) == {f"{FOLDER}/{name}" for name in names}
    assert len(server.asked) == 2


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
async def test_a_folder_or_pipe_named_like_a_record_stops_no_copy(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    make(tmp_path / FOLDER / "cat.json")
    async with loopback(answers(200, MP4)) as server:
        with anyio.fail_after(5):
            assert isinstance(await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4")), Accepted)

    assert [path.read_bytes() for path in tmp_path.rglob("cat-*-1.mp4")] == [MP4]


@pytest.mark.parametrize("content", ["mine", "m" * len(MP4)])
async def test_no_file_of_others_is_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "cat-1.mp4").write_text(content)
    async with loopback(answers(200, MP4)) as server:
        event = finished(f"{server.url}/a.mp4")
        assert isinstance(await copied(archive_in(tmp_path), event), Accepted)

    assert (tmp_path / FOLDER / "cat-1.mp4").read_text() == content
    [noted] = record(tmp_path)["data"]["archive"]
    assert noted["path"] == f"{FOLDER}/cat-1-{event.event_id[4:12]}.mp4"
    assert (tmp_path / noted["path"]).read_bytes() == MP4


@pytest.mark.parametrize(
    "label", ["../../etc/passwd", "..", "a/b\\c", "\u202egpj.exe", "x" * 400, "猫" * 300, "", "-rf"]
)
async def test_no_label_leads_out_of_the_folder(tmp_path: Path, label: str) -> None:
    root = tmp_path / "archive"
    async with loopback(answers(200, MP4)) as server:
        outcome = await copied(archive_in(root), finished(f"{server.url}/a.mp4", label=label))

    assert isinstance(outcome, Accepted)
    names = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(names) == 2
    for name in names:
        assert name.parent == Path("archive", FOLDER)
        assert len(name.name.encode()) <= 120
        assert name.name[0] not in ".-"


async def test_a_copy_that_was_noted_but_not_moved_is_not_fetched_again(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        event = finished(f"{server.url}/a.mp4")
        await copied(archive_in(tmp_path), event)
        (tmp_path / ".partial").mkdir(exist_ok=True)
        (tmp_path / FOLDER / "cat-1.mp4").rename(tmp_path / ".partial" / f"{event.event_id[4:12]}-1")

        assert isinstance(await copied(archive_in(tmp_path), event), Accepted)

    assert len(server.asked) == 1
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == MP4


async def test_a_crash_after_the_move_leaves_no_unfinished_file(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        event = finished(f"{server.url}/a.mp4")
        await copied(archive_in(tmp_path), event)
        part = tmp_path / ".partial" / f"{event.event_id[4:12]}-1"
        part.hardlink_to(tmp_path / FOLDER / "cat-1.mp4")
        part.with_name(f"{part.name}.json").write_text("{}")

        assert isinstance(await copied(archive_in(tmp_path), event), Accepted)

    assert not list((tmp_path / ".partial").iterdir())
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == MP4


async def test_a_part_that_another_process_writes_is_unchanged(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        event = finished(f"{server.url}/a.mp4")
        with PartFile(tmp_path / ".partial" / f"{event.event_id[4:12]}-1"):
            outcome = await copied(archive_in(tmp_path), event)

    assert isinstance(outcome, Deferred)
    assert "another daemon" in outcome.reason
    assert not server.asked


class SlowPlace(Folder):
    """A folder in which two daemons find the same names unused at the same time, as on a network share."""

    def read(self, path: str) -> bytes | None:
        found = super().read(path)
        time.sleep(0.1)
        return found


async def test_two_daemons_at_one_folder_write_no_file_under_two_names(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        event = finished(f"{server.url}/a.mp4")
        async with anyio.create_task_group() as group:
            for number in range(3):  # each has its own folder for unfinished files, as with a bucket
                sink = archive_in(tmp_path / str(number), place=SlowPlace(tmp_path / "shared"))
                group.start_soon(copied, sink, event)

    assert set(files(tmp_path / "shared")) == {f"{FOLDER}/cat.json", f"{FOLDER}/cat-1.mp4"}


async def test_only_a_refusal_is_explained_by_an_expired_url(tmp_path: Path) -> None:
    async with loopback(answers(404)) as server:
        sink = archive_in(tmp_path, now=9e9, most_bytes=100)
        refused = await copied(sink, finished(f"{server.url}/a.mp4", expires_ms=1000))
    async with loopback(answers(200, MP4)) as server:
        large = await copied(sink, finished(f"{server.url}/a.mp4", expires_ms=1000, task_id="t-2"))
    assert refused == Undeliverable(reason="videos 1: HTTP 404; the URL has expired")
    assert large == Undeliverable(reason=f"videos 1: {len(MP4)} bytes are more than archive.max_size")


def no_space(more_bytes: int) -> str:
    return "less than 5% of the disk is free"


async def test_without_disk_space_copies_wait_and_no_request_is_sent(tmp_path: Path) -> None:
    async with loopback(answers(200, MP4)) as server:
        outcome = await copied(archive_in(tmp_path, space=no_space), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert (outcome.delays_queue, outcome.is_counted) == (True, False)
    assert not server.asked


async def test_copies_wait_while_their_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file")
    async with loopback(answers(200, MP4)) as server:
        outcome = await copied(archive_in(tmp_path / "archive"), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert (outcome.delays_queue, outcome.is_counted) == (True, False)


async def test_a_canceled_copy_resumes_where_it_stopped(tmp_path: Path) -> None:
    sink: ArchiveSink = archive_in(tmp_path)
    begun = anyio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 90000000\r\n\r\n' + MP4)
        begun.set()
        await exchange.hang()

    async with loopback(script) as server:
        delivery = delivery_of(sink, finished(f"{server.url}/a.mp4"))
        async with anyio.create_task_group() as group:
            group.start_soon(sink.deliver, delivery)
            await begun.wait()
            group.cancel_scope.cancel()

    assert json.loads(delivery.body)["data"]["event_id"] == record(tmp_path)["data"]["event_id"]
    assert set(files(tmp_path)) >= {f"{FOLDER}/cat.json"}
    assert not (tmp_path / FOLDER / "cat-1.mp4").exists()
