"""The result of checking one thing, as one line for a person."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How serious a finding is. With a warning the thing works, but may surprise; with an error it does not work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One line of `genbridge check`. `thing` is what was checked (`store`, `endpoints.hook`), `seen` the result.
    `exit_code` is the command's exit code if this is an error."""

    level: Level
    thing: str
    seen: str
    exit_code: int = 1

    def line(self) -> str:
        return f"{self.level:<7} {self.thing}: {self.seen}"


def exit_code(findings: list[Finding]) -> int:
    """The exit code of a command with these findings: the highest of its errors, 0 without errors."""
    return max((found.exit_code for found in findings if found.level is Level.ERROR), default=0)
