"""Large files are read by a separate process: the same tasks, in bounded memory, without loss."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from bridge.clock import SystemClock
from bridge.domain.ids import WatchKey
from bridge.sources.entry import Entry
from bridge.sources.parse_process import ParseProcess, ParseStopped
from bridge.sources.queue import Queue
from bridge.sources.task_files import SMALL_BYTES, read_tasks
from tests.fakes import RecordingIntake
from tests.sources.dropping import drop, inside, reason
from tests.sources.rig import running
from tests.stopwatch import until

ODD = ['"a\\ud800b"', '{"id": 123456789012345678901234567890, "meta": {"n": [1, null, 1.5]}}', "[", '"x\\u0000"', "NaN"]


def entries_of(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        yield from ParseProcess(steady=SystemClock().steady).entries(file.fileno(), path.suffix)


def parsed(path: Path) -> list[Entry]:
    return list(entries_of(path))


_of_others: set[int] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """Leave out processes that earlier tests in this process did not wait for."""
    _of_others.clear()
    _of_others.update(children())


def children() -> list[int]:
    """The processes that this test has started to read files, including those that have ended but were not waited
    for."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            for child in (task / "children").read_text().split():
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                found += [int(child)] if not command or b"import main" in command else []
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread or process that has ended
    return [child for child in found if child not in _of_others]


def most_memory_kb(pid: int) -> int:
    """The most memory that the process has used, or 0 after it has ended."""
    try:
        if b"import main" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0  # still a copy of this process
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), 0))


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "\n".join([*ODD, *(f'{{"id": "j-{n}", "label": "é🎬"}}' for n in range(3000))])),
        ("a.json", '{"tasks": ["one", {"id": NaN}, "two"]}'),
        ("a.yaml", "- one\n- {id: 0123, meta: {a: 1}}\n- {id: x, id: y}\n- [a\n"),
        ("a.yaml", "".join(f"- id: é-{n}\n  label: 🎬\n" for n in range(9000))),
        ("a.csv", "id;label\n" + "".join(f"c-{n};x\n" for n in range(3000))),
        ("a.txt", "".join(f"t-{n}\n" for n in range(3000))),
        ("a", "[1, 2"),
        ("a.txt", b"a\xff\nb\n"),
        ("a.txt", "one\n" + "x" * 8_000_000 + "\ntwo\n"),
        ("a.yaml", b"\xff\xfe"),
    ],
)
def test_the_process_finds_what_would_be_found_here(tmp_path: Path, name: str, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (path := tmp_path / name).write_bytes(data)
    assert parsed(path) == list(read_tasks(data, path.suffix))


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "begin", "one", "end", "mebibytes"),
    [
        ("a.yaml", "", "- a\n", "", 1),  # as a tree in memory, it would take 100 MB
        ("a.yaml", "", "- {id: abcdefgh, label: 🎬}\n", "", 1),
        ("a.json", "[1", ", 1", "]", 2),
        ("a.json", "[", "[", "", 4),
        ("a.csv", "id\n", "🎬\n", "", 2),
        ("a.txt", "", "a b\n", "", 2),
        ("a.yaml", "- &x a\n", "- *x\n", "", 4),
        ("a.yaml", "- ", "🎬a", "\n", 4),
    ],
)
def test_the_process_takes_less_than_50_megabytes_whatever_the_file_holds(
    tmp_path: Path, name: str, begin: str, one: str, end: str, mebibytes: int
) -> None:
    size = mebibytes << 20
    (path := tmp_path / name).write_text(begin + one * (size // len(one.encode())) + end)

    def read() -> None:
        deque(entries_of(path), maxlen=0)

    most, reading = 0, threading.Thread(target=read)
    reading.start()
    while reading.is_alive():
        most = max(most, *(most_memory_kb(pid) for pid in children()), 0)
        time.sleep(0.01)
    assert most
    assert most < 50_000


def test_a_process_that_is_stopped_is_gone_and_says_so(tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_text("".join(f"t-{n}\n" for n in range(200_000)))
    parsing = ParseProcess(steady=SystemClock().steady)
    with path.open("rb") as file:
        entries = parsing.entries(file.fileno(), ".txt")
        assert next(entries).value == "t-0"
        parsing.stop()
        with pytest.raises(ParseStopped):
            deque(entries, maxlen=0)
    assert not children()


def large(count: int = 20_000) -> str:
    text = "".join(f"large-{n:06d}\n" for n in range(count))
    assert len(text) > SMALL_BYTES
    return text


@pytest.mark.usefixtures("unmeasured")
async def test_a_small_file_does_not_wait_for_a_large_one(folder: Path, queue: Queue, intake: RecordingIntake) -> None:
    async with running(queue):
        drop(folder, "large.yaml", "".join(f"- {{id: large-{n:06d}, label: x}}\n" for n in range(40_000)))
        await until(lambda: intake.wishes)
        intake.hold()
        await until(lambda: intake.waiting)  # a part of the large file
        drop(folder, "small.txt", "small\n")
        intake.release()
        await until(lambda: not inside(folder), within_s=60)
    in_order = [key.task_id for key in intake.wishes]
    assert len(in_order) == 40_001
    assert in_order.index("small") < 40_000


@pytest.mark.usefixtures("unmeasured")
async def test_two_large_files_are_read_in_turn(folder: Path, queue: Queue, intake: RecordingIntake) -> None:
    async with running(queue):
        drop(folder, "one.txt", large(100_000))
        await until(lambda: intake.wishes)
        drop(folder, "two.txt", large(10_000).replace("large", "other"))
        await until(lambda: WatchKey("kling", "other-000000") in intake.wishes)
        assert "one.txt" in inside(folder)
        await until(lambda: not inside(folder), within_s=60)


async def kill_next(is_over: Callable[[], bool]) -> None:
    while not (found := children()):
        assert not is_over()
        await anyio.sleep(0.005)
    for pid in found:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("unmeasured")
async def test_a_file_whose_process_dies_is_read_again_from_its_beginning(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    async with running(queue):
        drop(folder, "large.txt", large())
        await kill_next(lambda: not inside(folder))
        await until(lambda: not inside(folder), within_s=40)
    assert len(intake.ids()) == 20_000


async def test_a_file_that_ends_its_process_three_times_is_rejected_whole(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    text = large(200_000)
    async with running(queue):
        drop(folder, "large.txt", text)
        for _ in range(3):
            await kill_next(lambda: not inside(folder))
            await until(lambda: not children())
        await until(lambda: not inside(folder), within_s=40)
    assert (folder / "rejected" / "large.txt").read_text() == text
    assert "ended early, 3 times" in reason(folder, "large.txt")


async def test_a_source_that_stops_ends_the_process_and_loses_nothing(
    folder: Path, queue: Queue, intake: RecordingIntake
) -> None:
    async with running(queue):
        drop(folder, "large.txt", large(200_000))
        await until(lambda: intake.wishes, within_s=30)
    assert not children()
    assert inside(folder) == {"large.txt"}


@pytest.mark.usefixtures("unmeasured")
async def test_large_files_that_wait_for_their_turn_cost_nothing(
    folder: Path, timely: Queue, intake: RecordingIntake
) -> None:
    for number in range(5):
        drop(folder, f"{number}.txt", large(120_000).replace("large", f"l{number}"))
    async with running(timely):
        await until(lambda: intake.wishes, within_s=30)
        intake.hold()
        await anyio.sleep(0.5)
        before = time.process_time()
        await anyio.sleep(2.0)
        assert time.process_time() - before < 0.3
        assert len(children()) == 1
        intake.release()
