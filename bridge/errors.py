"""Every error that genbridge raises. The class says who must act; `exit_code` follows sysexits.

GenbridgeError
  UsageError        the person at the command line                   exit 2
    UnknownNameError  the person: no such account or endpoint        exit 2
  ConfigError       the operator: settings missing or invalid        exit 78
  UnknownError      the person: no such watch or event               exit 1
  OutdatedError     the person: the store has changed meanwhile      exit 1
  Unavailable       the person: an address is taken, a disk is full  exit 69
  StoreError        nobody: retried; the daemon stops if it lasts    exit 69
    StoreDamaged    the operator: damaged, foreign or newer store    exit 1
    StoreBusy       another daemon holds the store                   exit 75
    LeaseLost       the daemon: it must join again first             exit 75
  BridgeBug         the developers
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def os_reason(error: OSError) -> str:
    """The system's message, without its error number."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"


def how_to_install(extra: str, *packages: str) -> str:
    """The command that installs the packages of one of genbridge's extras where this program runs. The interpreter
    finds the right environment; one that uv made has no pip."""
    from importlib.util import find_spec  # here, because quick commands do not need it

    program = f"{sys.executable} -m pip install" if find_spec("pip") else f"uv pip install --python {sys.executable}"
    return f"{program} {' '.join(map(repr, packages))} (or, in a checkout, '.[{extra}]')"


def first_error(error: BaseException) -> BaseException:
    """The first error of a group, which may contain groups; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class GenbridgeError(Exception):
    """Base of all errors that genbridge raises. The text is one line: what is wrong, where, and how to fix it."""

    exit_code = 1


class UsageError(GenbridgeError):
    """The command line, or a request, asks for something impossible. `at` is the key or parameter it is about.

    The text begins with `file`, which `message` leaves out: it means nothing to the callers of the API.
    """

    exit_code = 2

    def __init__(self, message: str, *, at: str = "", file: str = "") -> None:
        super().__init__(f"{file}: {message}" if file else message)
        self.message, self.at = message, at


class UnknownNameError(UsageError):
    """The settings have no account, endpoint or provider of this name."""


class ConfigError(GenbridgeError):
    """The settings are missing or invalid. `problems` has one line for each mistake."""

    exit_code = 78

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnknownError(GenbridgeError):
    """No watch or event has this id."""


class OutdatedError(GenbridgeError):
    """The store has changed since the person looked at it. Nothing was done."""


class Unavailable(GenbridgeError):
    """A port, address or folder that genbridge needs is not available."""

    exit_code = 69


class StoreError(GenbridgeError):
    """The store cannot be read or written now: disk full, I/O error, locked, no permission. Retry later."""

    exit_code = 69


class StoreDamaged(StoreError):
    """The store is damaged, foreign, from a newer version, or gone. It has not been changed. `advice` is about
    the store of a daemon; `finding` is the message without it."""

    exit_code = 1

    def __init__(self, finding: str, advice: str = "") -> None:
        super().__init__(f"{finding}; {advice}" if advice else finding)
        self.finding = finding
        self.advice = advice


class StoreBusy(StoreError):
    """Another daemon uses the store."""

    exit_code = 75


class LeaseLost(StoreError):
    """This daemon's lease on a shared store has expired. Others may have taken over its work, so it must not send or
    commit anything before it has joined again."""

    exit_code = 75


class BridgeBug(GenbridgeError):
    """A bug in genbridge."""
