"""Starts, measures and stops processes: the measured ones, and the servers that they use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.fork_server import ForkedProcess

ROOT: Final = Path(__file__).parents[1]
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


class Measured:
    """A process and what it has cost so far, its children included."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
        self.process = process

    def cpu_s(self) -> float:
        """User and system time, to a hundredth of a second."""
        total = 0
        for pid in family(self.process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended: its parent counts its time now
            total += sum(int(field) for field in fields[11:15])  # utime, stime, and those of children waited for
        return total * TICK_S

    def rss_mb(self) -> float:
        return sum(_status_kb(pid, "VmRSS:") for pid in family(self.process.pid)) / 1024

    def forget_peak(self) -> None:
        """Reset `peak_mb`."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_mb(self) -> float:
        """The most RSS that the process has had, without its children."""
        return _status_kb(self.process.pid, "VmHWM:") / 1024

    def stop(self) -> None:
        """SIGTERM, then SIGKILL if that does not end it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._gone()

    def kill(self) -> None:
        """Send SIGKILL to the process and its descendants. The parent is first, so that it starts no more children."""
        for pid in family(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._gone()

    def _gone(self) -> None:
        self.process.wait(15)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _status_kb(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(key))


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for tasks in Path("/proc").glob(f"{parent}/task/*/children"):
            try:
                found += [int(child) for child in tasks.read_text().split()]
            except OSError:
                continue
    return found


class Server(Measured):
    """The simulated provider or the receiver."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, what: str, *, timeout_s: float = 60.0) -> Any:
        """Send this control word to the server, and return the answer."""
        with urllib.request.urlopen(f"{self.url}/-/{what}", timeout=timeout_s) as answer:
            return json.load(answer)


def start(module: str, *words: str) -> subprocess.Popen[bytes]:
    """Run one of our modules in a separate process."""
    return subprocess.Popen([sys.executable, "-m", module, *words], cwd=ROOT, stdout=subprocess.PIPE)


@contextmanager
def server(name: str, *words: str) -> Iterator[Server]:
    """`provider` or `receiver`, until the block ends."""
    process = start(f"benchmarks.{name}", *words)
    try:
        yield Server(process)
    finally:
        Measured(process).stop()


def until(condition: Callable[[], bool], *, seconds: float, every_s: float = 0.1) -> bool:
    """Wait until the condition is true. Returns whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True


def said(command: Sequence[str | Path]) -> tuple[str, float]:
    """What a command prints, and the CPU seconds it took."""
    with subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [str(word) for word in command])
    return text, usage.ru_utime + usage.ru_stime
