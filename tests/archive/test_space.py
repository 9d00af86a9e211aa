"""Copies on a disk with little free space."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.archive.folder import Folder
from bridge.archive.keeper import space_problem
from bridge.archive.place import PlaceFailed
from bridge.domain.delivery import Accepted, Deferred, Outcome
from tests.archive.copies import MP4, archive_in, copied, files, finished
from tests.disks import small_disk
from tests.loopback import Exchange, answers, loopback

BIG = b"\x00\x00\x00\x18ftypmp42" + b"v" * 3_000_000


def problem(outcome: Outcome) -> str:
    assert isinstance(outcome, Deferred)
    assert (outcome.delays_queue, outcome.is_counted) == (False, True)
    return outcome.reason


async def unframed(exchange: Exchange) -> None:
    """Answer without a length, in chunks."""
    await exchange.raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(8):
        await exchange.raw(b"%x\r\n%b\r\n" % (len(BIG), BIG))
    await exchange.raw(b"0\r\n\r\n")


async def test_a_file_that_would_fill_the_disk_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=40_000_000, free=3_000_000))
    space = partial(space_problem, tmp_path)
    async with loopback(answers(200, BIG)) as server:
        outcome = await copied(archive_in(tmp_path, space=space), finished(f"{server.url}/a.mp4"))
    assert problem(outcome) == (
        f"videos 1: {len(BIG)} more bytes would leave less than 5% of the disk free at {tmp_path}"
    )
    assert files(tmp_path)[".partial/" + next(path.name for path in (tmp_path / ".partial").iterdir())] == b""


async def test_a_download_without_a_length_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="16m") as disk:
        space = partial(space_problem, disk)
        async with loopback(unframed) as server:
            outcome = await copied(archive_in(disk, space=space), finished(f"{server.url}/a.mp4"))
        assert problem(outcome) == f"videos 1: less than 5% of the disk is free at {disk}"
        assert max(len(content) for content in files(disk).values()) < 2000


async def test_a_file_that_does_not_fit_leaves_room_for_others(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="2m") as disk:
        sink = archive_in(disk, space=lambda more_bytes: None)  # as for a quota, which free space does not show
        async with loopback(answers(200, BIG)) as big, loopback(answers(200, MP4)) as small:
            outcome = await copied(sink, finished(f"{big.url}/a.mp4", label="big"))
            assert problem(outcome) == f"videos 1: {disk}/.partial: {os.strerror(errno.ENOSPC)}"
            assert isinstance(await copied(sink, finished(f"{small.url}/a.mp4", task_id="t-2")), Accepted)


def test_a_full_disk_leaves_no_temporary_files_of_records(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="100k") as disk:
        folder = Folder(disk)
        assert folder.create("a.json", b"{}")
        with pytest.raises(PlaceFailed):
            folder.create("b.json", bytes(200_000))
        with pytest.raises(PlaceFailed):
            folder.replace("a.json", bytes(200_000))
        assert files(disk) == {"a.json": b"{}"}
