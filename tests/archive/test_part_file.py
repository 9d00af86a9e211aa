from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bridge.archive.part_file import PartFile, PartTaken

URL = "https://cdn.example.com/a.mp4"


def begun(path: Path, *, validator: str = '"v1"') -> None:
    """A download that has synced five bytes, noted ten and written fifteen."""
    with PartFile(path) as part:
        part.restart(URL, validator)
        part.write([b"12345"])
        part.sync()
        part.write([b"67890"])
        part.note()
        part.write([b"abcde"])


def test_after_a_crash_what_was_noted_is_kept(tmp_path: Path) -> None:
    begun(tmp_path / "part")
    with PartFile(tmp_path / "part") as part:
        assert part.resume(URL) == '"v1"'
        assert part.bytes == 10
        part.write([b"xy"])
        part.finish()
        assert part.sha256 == hashlib.sha256(b"1234567890xy").hexdigest()
        assert part.head == b"1234567890xy"
    assert (tmp_path / "part").read_bytes() == b"1234567890xy"


def test_after_a_restart_of_the_machine_only_what_was_synced_is_kept(tmp_path: Path) -> None:
    begun(tmp_path / "part")
    note = tmp_path / "part.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "boot": "another one"}))
    with PartFile(tmp_path / "part") as part:
        assert part.resume(URL) == '"v1"'
        assert part.bytes == 5


@pytest.mark.parametrize("change", ["another url", "no validator", "no note", "bad note", "shorter file"])
def test_what_may_be_something_else_is_not_kept(tmp_path: Path, change: str) -> None:
    begun(tmp_path / "part", validator="" if change == "no validator" else '"v1"')
    match change:
        case "no note":
            (tmp_path / "part.json").unlink()
        case "bad note":
            (tmp_path / "part.json").write_text("[1")
        case "shorter file":
            (tmp_path / "part").write_bytes(b"123")
    with PartFile(tmp_path / "part") as part:
        assert part.resume("https://cdn.example.com/b.mp4" if change == "another url" else URL) == ""
        assert part.bytes == 0


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    with PartFile(tmp_path / "part"), pytest.raises(PartTaken):
        PartFile(tmp_path / "part").open()
    with PartFile(tmp_path / "part"):
        pass


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        PartFile(tmp_path / "part").open()
    assert not (tmp_path / "elsewhere").exists()


def test_only_the_whole_file_that_is_meant_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"12345")
    with PartFile(tmp_path / "part") as part:
        assert part.adopt(5, hashlib.sha256(b"12345").hexdigest())
        assert not part.adopt(5, hashlib.sha256(b"54321").hexdigest())
        assert not part.adopt(4, hashlib.sha256(b"1234").hexdigest())
