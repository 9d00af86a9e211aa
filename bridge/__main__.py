"""The command `genbridge`; `python -m bridge` is the same."""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import import_module

from bridge.log_stream import guard_stderr


def main() -> None:
    """Run the command and end the process with its exit code.

    Until the command is imported (for the daemon: until it handles signals itself), nothing runs yet that needs an
    orderly stop, so a signal simply ends the process. SIGHUP waits until the daemon can reload.
    """
    guard_stderr()
    is_daemon = _is_daemon(sys.argv[1:])
    before = signal.getsignal(signal.SIGINT)  # it is ignored if a shell runs the command in the background
    if is_daemon:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    else:
        gc.set_threshold(50_000)  # with the default of 700, imports take 10 % longer, and commands run only briefly
    if not is_daemon and before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # as shells do
    cli = import_module("bridge.cli")
    try:
        if not is_daemon:
            signal.signal(signal.SIGINT, before)
        cli.main()
    except KeyboardInterrupt:  # before or after the command itself
        os._exit(cli.INTERRUPTED)


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
