"""Whether a file in the queue folder is still being written, according to the kernel."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.sources.writers import Writers, Writing


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    writers = Writers()
    writers.look(tmp_path)
    yield writers
    writers.close()


def noticed(writers: Writers, path: Path) -> Writing:
    """What is known from notifications alone, as for a file of another user."""
    writers.look(path.parent)
    return writers.of(path.name, None)


def leased(writers: Writers, path: Path) -> Writing:
    with path.open("rb") as file:
        return writers.of(path.name, file.fileno())


def test_a_lease_shows_whether_a_file_is_open_for_writing(tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_text("a")
    writers = Writers()  # which has not seen it being written
    with path.open("a"), path.open("a"):
        assert leased(writers, path) is Writing.OPEN
    with path.open():
        assert leased(writers, path) is Writing.DONE
    writers.close()


def test_a_program_that_opens_a_file_during_the_check_is_not_disturbed(tmp_path: Path, writers: Writers) -> None:
    assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL, "which would end the process"
    (path := tmp_path / "a.txt").write_text("a")
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            path.open("a").close()

    writer = threading.Thread(target=write)
    writer.start()
    found = {leased(writers, path) for _ in range(2000)}
    is_over.set()
    writer.join()
    assert found <= {Writing.DONE, Writing.OPEN}


def test_files_created_in_the_meantime_cause_notifications(tmp_path: Path, writers: Writers) -> None:
    path = tmp_path / "a.txt"
    with path.open("w") as file:
        assert noticed(writers, path) is Writing.OPEN
        file.write("a")
        file.flush()
        assert noticed(writers, path) is Writing.OPEN
    assert noticed(writers, path) is Writing.DONE
    with path.open("a"):
        assert noticed(writers, path) is Writing.UNKNOWN, "it may be a reader"
    assert noticed(writers, path) is Writing.DONE


def test_the_state_of_a_file_is_kept_when_it_is_renamed(tmp_path: Path, writers: Writers) -> None:
    aside, path = tmp_path / ".a", tmp_path / "a.txt"
    with aside.open("w"):
        aside.rename(path)
        assert noticed(writers, path) is Writing.OPEN
    assert noticed(writers, path) is Writing.DONE
    path.unlink()
    assert noticed(writers, path) is Writing.UNKNOWN


def test_earlier_files_and_files_from_elsewhere_have_an_unknown_state(tmp_path: Path) -> None:
    folder = tmp_path / "queue"
    folder.mkdir()
    (old := folder / "old.txt").write_text("a")
    writers = Writers()
    writers.look(folder)
    (tmp_path / "b").write_text("b")
    (tmp_path / "b").rename(folder / "moved.txt")
    (folder / "linked.txt").hardlink_to(old)
    for name in ("old.txt", "moved.txt", "linked.txt"):
        assert noticed(writers, folder / name) is Writing.UNKNOWN
    writers.close()


def test_a_folder_that_is_made_again_is_listened_to(tmp_path: Path) -> None:
    folder = tmp_path / "queue"
    folder.mkdir()
    writers = Writers()
    (path := folder / "a.txt").touch()
    noticed(writers, path)
    path.unlink()
    folder.rmdir()
    writers.look(folder)
    folder.mkdir()
    writers.look(folder)
    path.touch()
    assert noticed(writers, path) is Writing.DONE
    writers.close()


def test_after_lost_notifications_the_writers_are_unknown(tmp_path: Path, writers: Writers) -> None:
    (path := tmp_path / "a.txt").touch()
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for _ in range(most // 2 + 10):
        os.close(os.open(path, os.O_RDONLY))
    assert noticed(writers, path) is Writing.UNKNOWN
