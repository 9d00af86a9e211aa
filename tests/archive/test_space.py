"""Copies on a disk with little free space."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.archive.folder import Folder
from bridge.archive.place import PlaceFailed
from tests.archive.copies import files
from tests.disks import small_disk


def test_a_full_disk_leaves_no_temporary_files_of_records(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="100k") as disk:
        folder = Folder(disk)
        assert folder.create("a.json", b"{}")
        with pytest.raises(PlaceFailed):
            folder.create("b.json", bytes(200_000))
        with pytest.raises(PlaceFailed):
            folder.replace("a.json", bytes(200_000))
        assert files(disk) == {"a.json": b"{}"}
