"""Starts many daemons at the cost of one import. A process that has imported the daemon copies itself for each of them.

Importing takes most of the CPU time of a daemon that runs only for one test. Everything else is as with `python -m
bridge`: each daemon is a process of its own, a child of the process that runs the tests, with its own arguments,
environment and streams. What Python reads before the first import (`PYTHON*`, the locale) is an exception.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from bridge import __main__ as program

IMPORTED: Final = (
    "bridge.cli.run",
    "bridge.app",
    "bridge.http.serving",
    "bridge.sinks.webhook",
    "bridge.wiring.checking",
    "anyio._backends._asyncio",
    "httpx",
    "jinja2",
    "re2",
)
MEASURED: Final = "COVERAGE_PROCESS_START"  # in the environment of processes that measure their coverage
MOST_BYTES: Final = 1 << 17  # largest size of a request
ADOPT_ORPHANS: Final = 36  # PR_SET_CHILD_SUBREAPER, see prctl(2)

Streams = tuple[int, int, int]
"""The file descriptors of stdin, stdout and stderr."""


class ForkedProcess:
    """A daemon, with what tests use of `subprocess.Popen`."""

    stdout: Final = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code (-9 after SIGKILL), or None while it runs."""
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. subprocess.TimeoutExpired after `timeout` seconds."""
        if self.poll() is None:
            handle = os.pidfd_open(self.pid)
            try:
                select.select([handle], [], [], timeout)
            finally:
                os.close(handle)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Starts daemons as copies of one process. That process is started for the first daemon and ends with the test
    process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._prctl = ctypes.CDLL(None).prctl
        self._one_at_a_time = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())]
            root = Path(__file__).parents[1]
            self._process = subprocess.Popen(words, pass_fds=[theirs.fileno()], env={**env}, cwd=root)
        atexit.register(self._close)

    def start(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        streams: Streams,
        on_terminal: bool = False,
        user: int | None = None,
    ) -> ForkedProcess:
        """`genbridge` with these words, in this folder. If wanted, on a terminal, in a session of its own, or as
        another user."""
        request = {
            "words": list(words),
            "env": dict(env),
            "folder": str(folder),
            "on_terminal": on_terminal,
            "user": user,
        }
        with self._one_at_a_time:
            self._prctl(ADOPT_ORPHANS, 1, 0, 0, 0)  # so that the daemon becomes a child of this process
            try:
                socket.send_fds(self._requests, [json.dumps(request).encode()], streams)
                return ForkedProcess(int(self._requests.recv(MOST_BYTES)))
            finally:
                self._prctl(ADOPT_ORPHANS, 0, 0, 0, 0)  # this process does not adopt the orphans of other programs

    def _close(self) -> None:
        self._requests.close()
        self._process.wait()


@cache
def fork_server(is_measured: bool) -> ForkServer:
    """The server for daemons whose coverage is measured, or for the others."""
    return ForkServer(os.environ)


def started(words: Sequence[str], env: Mapping[str, str], *, out: int, err: int) -> ForkedProcess:
    """Start `genbridge` with these words. Its stdin is empty."""
    with Path(os.devnull).open("rb") as empty:
        streams = (empty.fileno(), out, err)
        return fork_server(MEASURED in env).start(words, folder=Path.cwd(), env=env, streams=streams)


def completed(
    *words: str | Path,
    folder: Path | None = None,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    user: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `genbridge` with these words to its end, which must come within a minute. `env` is added to that of this
    process."""
    whole = {**os.environ, **(env or {})}
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        server, streams = fork_server(MEASURED in whole), (given.fileno(), out.fileno(), err.fileno())
        text = [str(word) for word in words]
        command = server.start(text, folder=folder or Path.cwd(), env=whole, streams=streams, user=user)
        try:
            code = command.wait(60)
        finally:
            command.kill()
        said = [(one.seek(0), one.read().decode())[1] for one in (out, err)]
    return subprocess.CompletedProcess(words, code, *said)


def serve(requests: socket.socket) -> None:
    """Fork for each request until there are no more requests. Also returns in each forked process, which then is
    `genbridge`."""
    for name in IMPORTED:
        import_module(name)
    with suppress(ImportError):  # its driver need not be installed
        import_module("bridge.store.postgres")
    while True:
        raw, streams, *_ = socket.recv_fds(requests, MOST_BYTES, 3)
        if not raw:
            return
        read, write = os.pipe()
        if (parent := os.fork()) == 0:
            if (daemon := os.fork()) == 0:
                for one in (read, write, requests.fileno()):
                    os.close(one)
                become(json.loads(raw), streams)
                return
            os.write(write, str(daemon).encode())
            os._exit(0)
        os.waitpid(parent, 0)  # from then on, the daemon is a child of the process that runs the tests
        requests.send(os.read(read, MOST_BYTES))
        for one in (read, write, *streams):
            os.close(one)


def become(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Turn this process into one that `python -m bridge` would start, and run it to its end."""
    for place, one in enumerate(streams):
        os.dup2(one, place)
        os.close(one)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["folder"])
    if request["on_terminal"]:
        os.setsid()
        on_terminal()
    if request["user"] is not None:
        become_user(request["user"])
    faulthandler.enable(file=2)  # after SIGABRT, it says on stderr what each thread does
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [str(program.__file__), *request["words"]]
    program.main()


def on_terminal() -> None:
    """Open the streams as Python does for a terminal."""
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False, errors="backslashreplace")


def become_user(number: int) -> None:
    """Give up root. First import every command: the other user may not be allowed to read the interpreter's folder."""
    import_module("anyio._backends._asyncio")
    for module in {module for module, _ in import_module("bridge.cli").COMMANDS.values()}:
        import_module(module)
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve(socket.socket(fileno=int(sys.argv[1])))
