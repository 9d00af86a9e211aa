"""The command `genbridge`; `python -m bridge` is the same."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module


def main() -> None:
    """Run the command and end the process with its exit code.

    What a command needs is half a second of imports. Until these are there, for the daemon until it heeds signals
    itself, nothing has begun that would need an end: a signal just ends it. A wish to reload waits until then.
    """
    is_daemon = _is_daemon(sys.argv[1:])
    before = signal.getsignal(signal.SIGINT)  # what a shell runs in the background ignores it
    if is_daemon:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    elif before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # as shells say of Ctrl-C
    cli = import_module("bridge.cli")
    if not is_daemon:
        signal.signal(signal.SIGINT, before)
    cli.main()


def _is_daemon(arguments: list[str]) -> bool:
    """Whether the command is `run`: the first word that is neither an option nor the value of one."""
    words = iter(arguments)
    for word in words:
        if word in {"-c", "--config"}:
            next(words, None)
        elif not word.startswith("-"):
            return word == "run"
    return False


if __name__ == "__main__":
    main()
