"""The findings of `genbridge check` about a source: what would happen if the daemon started now. Blocks; changes
nothing."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from bridge.domain.finding import Finding, Level

CREATED: Final = "does not exist yet: will be created by `genbridge run`"


def ok(source: str, seen: str) -> Finding:
    return Finding(Level.OK, f"sources.{source}", seen)


def warning(source: str, seen: str) -> Finding:
    return Finding(Level.WARNING, f"sources.{source}", seen)


def error(source: str, seen: str) -> Finding:
    return Finding(Level.ERROR, f"sources.{source}", seen)


def unreadable(source: str, path: Path, problem: OSError, *, until: str) -> Finding:
    """The finding about a file that cannot be opened; `until` says what applies while it does not exist."""
    if not isinstance(problem, FileNotFoundError):
        hint = f"; {owner(path)}" if isinstance(problem, PermissionError) else ""
        return error(source, f"{path}: {problem.strerror or problem}{hint}")
    if not path.parent.is_dir():
        return error(source, f"{path} does not exist, nor does its folder {path.parent}")
    return warning(source, f"{path} does not exist: genbridge waits for it, and {until}")


def owner(path: Path) -> str:
    """Mode and owner of a file that cannot be opened."""
    try:
        found = path.stat()
    except OSError:
        return "this user may not enter a folder above it"
    return f"it is {stat.filemode(found.st_mode)} of {path.owner()}:{path.group()}"
