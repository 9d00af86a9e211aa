"""Runs commands on a real terminal, for tests of their output and its width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.fork_server import MEASURED, ForkedProcess, fork_server

ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x1b]*\x1b\\")


class Screenful(str):
    """Everything that a command wrote to its terminal, in order, stdout and stderr together."""

    __slots__ = ()

    @property
    def lines(self) -> list[str]:
        """The lines as a person reads them, without the codes for colors and links."""
        return [line.strip("\r") for line in ESCAPES.sub("", self).split("\n") if line.strip("\r")]


def in_terminal(
    folder: Path,
    *words: str,
    columns: int = 80,
    rows: int = 24,
    env: Mapping[str, str] | None = None,
    stdout: Path | None = None,
    on_output: Callable[[str, ForkedProcess], None] | None = None,
    answers: Sequence[tuple[str, str]] = (),
    exits: int = 0,
) -> Screenful:
    """Run a command to its end on a terminal of this size. Whenever there is more output, `on_output` gets the text so
    far and the process. `answers` are typed one after the other, each when its question is on the screen. `stdout`, if
    given, is a file that gets the output instead of the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    plain = {name: text for name, text in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    out = theirs if stdout is None else os.open(stdout, os.O_WRONLY | os.O_CREAT)
    whole = {**plain, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(env or {})}
    server = fork_server(MEASURED in whole)
    process = server.start(words, folder=folder, env=whole, streams=(theirs, out, theirs), on_terminal=True)
    os.close(theirs)
    if stdout is not None:
        os.close(out)
    seen, open_questions, at = b"", list(answers), 0
    try:
        with suppress(OSError):  # the other side has closed it
            while chunk := os.read(ours, 65536):
                seen += chunk
                if open_questions and (found := seen.find(open_questions[0][0].encode(), at)) >= 0:
                    at = found + 1
                    os.write(ours, open_questions.pop(0)[1].encode())
                if on_output is not None:
                    on_output(seen.decode(errors="replace"), process)
        assert process.wait(60) == exits, seen.decode(errors="replace")
    finally:
        process.kill()
    os.close(ours)
    return Screenful(seen.decode())


def interrupt_at(*texts: str, number: signal.Signals = signal.SIGINT) -> Callable[[str, ForkedProcess], None]:
    """Press Ctrl-C, or send another signal, once one of these texts is on the screen."""
    pressed = False

    def look(seen: str, process: ForkedProcess) -> None:
        nonlocal pressed
        if not pressed and any(text in seen for text in texts):
            pressed = True
            for wait_s in (0.2, 30):  # readline loses a signal while it starts, right after it has written a question
                press = threading.Timer(wait_s, process.send_signal, [number])
                press.daemon = True
                press.start()

    return look


def allow_ctrl_c() -> None:
    """Let Ctrl-C interrupt the started process. A shell makes programs in the background ignore it, and so the tests
    and the processes that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
