"""In the folder `rejected/`, nothing is overwritten, and a failure leaves nothing incomplete."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.sources.rejects import RejectedFolder


@pytest.fixture
def rejects(tmp_path: Path) -> Iterator[RejectedFolder]:
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield RejectedFolder(folder_fd)
    os.close(folder_fd)


def kept(tmp_path: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (tmp_path / "rejected").iterdir()}


def test_a_rejected_name_is_free_only_if_its_reason_file_is_free(tmp_path: Path, rejects: RejectedFolder) -> None:
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected" / "a.txt.reason").write_text("of an earlier one")
    (tmp_path / "rejected" / "a-1.txt").write_text("earlier")
    assert rejects.write("a.txt", b"rest", "why") == "a-2.txt"
    assert kept(tmp_path) == {
        "a.txt.reason": "of an earlier one",
        "a-1.txt": "earlier",
        "a-2.txt": "rest",
        "a-2.txt.reason": "why",
    }


def test_an_unusual_suffix_does_not_matter(tmp_path: Path, rejects: RejectedFolder) -> None:
    name = "a." + "x" * 253
    (tmp_path / name).touch()
    assert len(rejects.move(name, "why")) <= 255 - len(".reason")


def test_a_removed_file_leaves_no_reason_file(tmp_path: Path, rejects: RejectedFolder) -> None:
    with pytest.raises(FileNotFoundError):
        rejects.move("gone.txt", "why")
    assert not kept(tmp_path)


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    """Writing larger files fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, rejects: RejectedFolder) -> None:
    with files_limited_to(10), pytest.raises(OSError, match="File too large"):
        rejects.write("a.txt", b"x" * 100, "why")
    assert not kept(tmp_path)
    (tmp_path / "a.txt").write_text("content")
    with files_limited_to(10), pytest.raises(OSError, match="File too large"):
        rejects.move("a.txt", "why " * 100)
    assert not kept(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "content"
