"""Replaces secrets in everything that is printed: log lines, reasons, errors and tracebacks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from bridge.domain.quoting import printable

OUT_OF_MEMORY: Final = b"genbridge: out of memory; raise its limit, or end other programs\n"
MIN_CHARS: Final = 4  # a shorter secret would match everywhere

_secrets: list[str] = []  # longest first, because one may begin with another
_learn: list[Callable[[], object]] = []


def hide(secrets: Iterable[str]) -> None:
    """Replace these strings from now on."""
    known = {*_secrets, *(secret for secret in secrets if len(secret) >= MIN_CHARS)}
    _secrets[:] = sorted(known, key=len, reverse=True)


def hidden(text: str) -> str:
    """`text` with every known secret replaced."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


def learn_by(call: Callable[[], object]) -> None:
    """Call this before a traceback is printed. It reads the secrets, if no command has needed them yet."""
    _learn[:] = [call]


def report_bug(error: BaseException) -> None:
    """Print the traceback of a bug to stderr, without secrets and control characters; one line if memory is lacking."""
    if isinstance(error, MemoryError) or (isinstance(error, BaseExceptionGroup) and error.subgroup(MemoryError)):
        os.write(2, OUT_OF_MEMORY)
        return
    for call in _learn:
        with suppress(Exception):  # the settings may be the cause of the bug
            call()
    import traceback  # imported here, because nothing else needs it

    said = hidden("".join(traceback.format_exception(error)))
    lines = [printable(line) for line in said.splitlines()]
    print("genbridge: internal error; please report it with this traceback", *lines, sep="\n", file=sys.stderr)  # noqa: T201 - must work without a logger


def guard_tracebacks() -> None:
    """Print the tracebacks of threads and finalizers with `report_bug`, too. If a thread ends for lack of memory, the
    process ends as well: a call in this thread would never return, and a stop would wait for it."""
    threading.excepthook = _thread_failed
    sys.unraisablehook = lambda hook_args: report_bug(hook_args.exc_value) if hook_args.exc_value else None


def _thread_failed(hook_args: threading.ExceptHookArgs) -> None:
    if issubclass(hook_args.exc_type, MemoryError):
        os.write(2, OUT_OF_MEMORY)
        os._exit(1)
    if hook_args.exc_value is not None:
        report_bug(hook_args.exc_value)
