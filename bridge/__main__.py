"""The command `genbridge`; `python -m bridge` is the same."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module


def main() -> None:
    """Run the command and end the process with its exit code.

    What a command needs is half a second of imports. Until these are there, for the daemon until it heeds signals
    itself, nothing has begun that would need an end: a signal just ends it.
    """
    is_daemon = "run" in sys.argv
    before = signal.getsignal(signal.SIGINT)  # what a shell runs in the background ignores it
    if is_daemon:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    elif before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # as shells say of Ctrl-C
    cli = import_module("bridge.cli")
    if not is_daemon:
        signal.signal(signal.SIGINT, before)
    cli.main()


if __name__ == "__main__":
    main()
