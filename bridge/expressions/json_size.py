"""The size of a JSON value as written, and its size if each part counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

LONG_TEXT: Final = 64  # in characters; repeated shorter texts always count again
NUMBER_CHARS: Final = 30  # writing a number costs about as much as this many characters
PARTS_A_STEP: Final = 8


class SizeMeter:
    """Measures the values of one evaluation, each list and object once."""

    def __init__(self) -> None:
        # Also contains the value, because an id is valid only while its value exists.
        self._written: dict[int, tuple[Any, int]] = {}
        self._texts: dict[int, str] = {}
        self._parts = 0

    def measure(self, value: Any, charge: Callable[[int], None]) -> tuple[int, int]:
        """The approximate size of the value as JSON, in characters, and the total of all values so far, with each part
        counted once. `charge` is called with the steps before the work."""
        waiting = [value]
        while waiting:
            node = waiting[-1]
            if id(node) in self._written:
                waiting.pop()
                continue
            charge(len(node) // PARTS_A_STEP)
            inner = list(node.values()) if isinstance(node, dict) else node
            unknown = [each for each in inner if isinstance(each, list | dict) and id(each) not in self._written]
            if unknown:
                waiting += unknown
                continue
            self._written[id(node)] = (node, self._of_one(node, inner))
            waiting.pop()
        return self._written[id(value)][1], self._parts

    def _of_one(self, node: Any, inner: list[Any]) -> int:
        own = 2 + 2 * len(inner) + (sum(map(len, node)) if isinstance(node, dict) else 0)
        shared = 0
        for each in inner:
            if isinstance(each, str):
                if len(each) > LONG_TEXT and id(each) in self._texts:
                    shared += len(each)
                else:
                    own += len(each)
                    self._texts[id(each)] = each
            elif isinstance(each, list | dict):
                shared += self._written[id(each)][1]
            else:
                own += NUMBER_CHARS
        self._parts += own
        return own + shared
