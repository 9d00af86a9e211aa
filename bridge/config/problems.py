"""Mistakes in the settings, each as a line `file:line:column: key: what is wrong`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge.config.yaml_nodes import KeyPath, Location, Node, Pairs, walk
from bridge.domain.quoting import quoted

NOT_A_MAPPING: Final = "must be a mapping of keys"
NOT_A_TEXT: Final = "must be text"


class Problem(NamedTuple):
    """One mistake. Problems sort by location."""

    location: Location
    key: str
    message: str

    def line(self, name: str) -> str:
        """The line about it, for the file with this name."""
        where = f"{name}:{self.location[0]}:{self.location[1]}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


def at_value(node: Node, steps: Sequence[str | int], message: str) -> Problem:
    """A mistake in the value at `steps`, or in its nearest existing parent."""
    found, _ = walk(node, steps)
    return Problem((found.line, found.column), written_key(steps), message)


def at_key(node: Node, steps: KeyPath, message: str, *, holder: bool = False) -> Problem:
    """A mistake about the key at `steps`. With `holder`, it is missing, and the location is its mapping."""
    return Problem(_key_location(node, steps[:-1] if holder else steps), written_key(steps), message)


def _key_location(node: Node, steps: KeyPath) -> Location:
    """The beginning of a key; for a list position, the beginning of its value; for the whole file, its start."""
    if not steps:
        return 1, 1
    above, left = walk(node, steps[:-1])
    key = above.keys.get(str(steps[-1])) if isinstance(above, Pairs) and not left else None
    found = key or walk(node, steps)[0]
    return found.line, found.column


def written_key(steps: Sequence[str | int]) -> str:
    """`endpoints.chat.urls[0]`."""
    return "".join(_step(step) for step in steps).removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    plain = step and all(char.isalnum() or char in "_-" for char in step)
    return f".{step}" if plain and len(step) <= 64 else f".{quoted(step)}"
