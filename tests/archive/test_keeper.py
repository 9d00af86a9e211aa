"""Which files are deleted from an archive."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from bridge.archive.folder import PARTIAL, Folder
from bridge.archive.keeper import Keeper, KeepRules, space_problem, tidy
from bridge.domain.archive_names import CopyMade
from tests.fakes import FakeClock

NOW = 1_762_000_000.0
DAY_S = 86_400.0


def filled(root: Path, tasks: Mapping[str, float]) -> Folder:
    """An archive with these tasks. Each has three files with 10,000 bytes in all, and is this many days old."""
    folder = "2025/11/01/kling"
    for name, days in tasks.items():
        items = [made_copy("videos", 1, f"{folder}/{name}-1.mp4"), made_copy("images", 2, f"{folder}/{name}-2.png")]
        data = {"event_id": f"evt_{name}", "ended_at": 1_762_000_000_000, "account": "kling", "label": name}
        record = json.dumps({"topic": "task_succeeded", "data": {**data, "archive": items}}).ljust(2000).encode()
        for file, content in ((f"{name}-1.mp4", bytes(5000)), (f"{name}-2.png", bytes(3000)), (f"{name}.json", record)):
            path = root / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (NOW - days * DAY_S, NOW - days * DAY_S))
    return Folder(root)


def made_copy(kind: str, n: int, path: str) -> dict[str, Any]:
    copy = CopyMade(kind=kind, n=n, path=path, url=None, bytes=1, sha256="0" * 64, media_type="video/mp4")
    return copy._asdict()


def left(root: Path) -> set[str]:
    return {path.stem for path in root.rglob("*.json")}


def test_copies_that_are_too_old_are_deleted_with_their_records_and_folders(tmp_path: Path) -> None:
    place = filled(tmp_path, {"old": 31, "new": 29})

    tidy(KeepRules(place=place, quota_bytes=None, keep_s=30 * DAY_S), NOW)

    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"new-1.mp4", "new-2.png", "new.json"}
    tidy(KeepRules(place=place, quota_bytes=None, keep_s=DAY_S), NOW)
    assert not list(tmp_path.iterdir())


def test_beyond_the_quota_the_oldest_go_first(tmp_path: Path) -> None:
    place = filled(tmp_path, {"a": 3, "b": 1, "c": 2, "d-1": 0})

    tidy(KeepRules(place=place, quota_bytes=25_000, keep_s=None), NOW)

    assert left(tmp_path) == {"b", "d-1"}


def test_files_of_others_are_never_deleted(tmp_path: Path) -> None:
    place = filled(tmp_path, {"old": 31})
    day = "2025/11/01/kling"
    unlikely = {"event_id": "evt_x", "archive": [], "ended_at": 1e300}
    records = ("package.json", "2025/plan.json", f"{day}/mine.json", f"{day}/mine-1.mp4", f"{day}/old-3.mp4")
    names = ("holiday-1.mp4", "notes.txt", f"{day}/cat-1.mp4", *records)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(json.dumps({"data": unlikely}).ljust(9000))
        os.utime(tmp_path / name, (0, 0))

    tidy(KeepRules(place=place, quota_bytes=1, keep_s=DAY_S), NOW)

    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {Path(name).name for name in names}


def test_folders_of_others_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = filled(tmp_path, {"old": 31})
    for name in ("projects/deep", "2025/notes", "2025/11/drafts", "2025/11/01/.hidden", "2025/11/01/kling/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "mine.txt").write_text("mine")
    (tmp_path / "2025/11/01/mine.txt").write_text("mine")
    listed: list[str] = []
    scandir = os.scandir

    def noted(folder: str) -> Any:
        listed.append(os.path.relpath(folder, tmp_path))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", noted)
    found = {Path(one.path).name for one in place.entries()}

    assert found == {"old-1.mp4", "old-2.png", "old.json"}
    assert listed == [".", "2025", "2025/11", "2025/11/01", "2025/11/01/kling"]


def test_unfinished_files_are_deleted_after_a_week(tmp_path: Path) -> None:
    partial = tmp_path / PARTIAL
    partial.mkdir()
    for name, days in (("old-1", 8), ("old-1.json", 8), ("new-1", 6)):
        (partial / name).write_bytes(b"x")
        os.utime(partial / name, (NOW - days * DAY_S, NOW - days * DAY_S))

    tidy(KeepRules(place=Folder(tmp_path), quota_bytes=None, keep_s=None), NOW)

    assert {path.name for path in partial.iterdir()} == {"new-1"}


async def test_the_keeper_tidies_after_changed_settings_and_every_few_minutes(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    keeper = Keeper(clock)
    rules = KeepRules(place=Folder(tmp_path), quota_bytes=None, keep_s=DAY_S)
    async with anyio.create_task_group() as group:
        group.start_soon(keeper.run)
        await clock.advance(1000)
        for name in ("first", "second"):
            filled(tmp_path / "new", {name: 2})
            (tmp_path / "new/2025").rename(tmp_path / "2025")
            if name == "first":
                keeper.keep(rules)
            with anyio.fail_after(30):
                while (tmp_path / "2025").exists():
                    await clock.advance(60.0 if name == "second" else 0.0)
                    await anyio.sleep(0.01)
        group.cancel_scope.cancel()


@pytest.mark.parametrize(("percent", "is_enough"), [(4, False), (5, True)])
def test_below_five_percent_of_free_space_no_copy_is_made(
    tmp_path: Path, percent: int, is_enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=1000, free=percent * 10))

    assert (space_problem(tmp_path / "not" / "yet") is None) == is_enough
