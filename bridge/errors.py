"""Every error genbridge raises, as one tree. The class names who must act; `exit_code` follows sysexits.

GenbridgeError
  UsageError        the person at the command line                   64-like, exit 2
  ConfigError       the operator: settings missing or invalid        exit 78
  UnknownError      the person: no such watch, event or endpoint     exit 1
  Unavailable       the person: an address or port is taken          exit 69
  StoreError        pause and try again; stop if it lasts            exit 69
    StoreDamaged    the operator: damaged, foreign or newer store    exit 1
    StoreBusy       another daemon holds the store                   exit 75
    LeaseLost       us: start over, others may hold what we held     exit 75
  BridgeBug         us
"""

from __future__ import annotations

from collections.abc import Sequence


class GenbridgeError(Exception):
    """Base of all errors genbridge raises; its text is one clear line: what, where, how to mend."""

    exit_code = 1


class UsageError(GenbridgeError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(GenbridgeError):
    """The settings are missing or invalid. `problems` holds one line for each mistake."""

    exit_code = 78

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnknownError(GenbridgeError):
    """No watch, event or endpoint of this name."""


class Unavailable(GenbridgeError):
    """Something outside that we need cannot be had now: a port that is taken, an address not ours."""

    exit_code = 69


class StoreError(GenbridgeError):
    """The store cannot be read or written now (disk full, I/O error, locked, no permission). Try again later."""

    exit_code = 69


class StoreDamaged(StoreError):
    """The store is damaged, not ours, was written by a newer version, or was taken away. It has not been touched."""

    exit_code = 1


class StoreBusy(StoreError):
    """Another daemon holds the store."""

    exit_code = 75


class LeaseLost(StoreError):
    """This daemon's lease on a shared store has ended: others may work on what it held, so it must do nothing more
    before it has joined anew."""

    exit_code = 75


class BridgeBug(GenbridgeError):
    """Something that cannot happen did."""
