"""Starts `genbridge run` for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.fork_server import ForkedProcess, started
from tests.stopwatch import Stopwatch

STOP_S: Final = 10.0  # what `genbridge run` promises


class DaemonProcess:
    """`genbridge run` as a real process. It is a copy of a process that has imported genbridge already, unless
    `from_scratch` is set."""

    def __init__(
        self,
        settings: Path,
        *,
        wrapper: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        stderr: int | None = None,
        from_scratch: bool = False,
    ) -> None:
        self.settings = settings
        self.wrapped = wrapper is not None
        self.log = settings.parent / "daemon.log"
        self.process: subprocess.Popen[bytes] | ForkedProcess
        words, env = ["run", "--config", str(settings)], {**os.environ, **(env or {})}
        with self.log.open("ab") as log:
            if wrapper is None and not from_scratch:
                self.process = started(words, env, out=log.fileno(), err=stderr or log.fileno())
            else:
                command = [*(wrapper or []), sys.executable, "-m", "bridge", *words]
                self.process = subprocess.Popen(command, stdout=log, stderr=stderr or log, env=env)

    @property
    def pid(self) -> int:
        """The process id of the daemon itself, even if it runs under a wrapper such as strace."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if self.wrapped and children else self.process.pid

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, *, number: int = signal.SIGTERM) -> int:
        """Send a signal that stops it. Returns the exit code. AssertionError if that takes longer than promised."""
        os.kill(self.pid, number)
        return self.exits_within(STOP_S)

    def exits_within(self, seconds: float) -> int:
        """Wait for the exit. Returns the code. AssertionError if it takes longer, by the daemon's `Stopwatch`."""
        waiting = Stopwatch(self.pid)
        while (code := self.process.poll()) is None:
            if waiting.seconds >= seconds:
                os.kill(self.pid, signal.SIGABRT)  # it logs what each of its threads does
                self.process.wait(10)
                raise AssertionError(f"it still ran after {seconds} s:\n{self.log.read_text()[-5000:]}")
            time.sleep(0.01)
        return code

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
