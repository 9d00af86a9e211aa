"""The nodes of YAML, each with its location: text until the caller asks for another type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

KeyPath = tuple[str | int, ...]  # keys and list positions, from the top of the document
Location = tuple[int, int]

_NULLS: Final = {"", "~", "null", "Null", "NULL"}
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    line: int
    column: int
    weight: int  # number of nodes and characters in it, with aliases expanded


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar(_Value):
    """A scalar as written. `plain` means without quotes, so that it may be null, true or a number."""

    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Items(_Value):
    """A sequence."""

    items: Sequence[Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs(_Value):
    """A mapping. Its keys are text, and unique.

    Keys from a merge key (`<<`) come first and keep their own locations; the mapping's own keys take precedence.
    """

    keys: Mapping[str, Scalar]
    values: Mapping[str, Node]


Node = Scalar | Items | Pairs


def as_text(node: Node) -> Any:
    """Lists and dicts, with every scalar as its text; only a plain `null`, `~` or an empty value is None."""
    match node:
        case Scalar():
            return None if node.is_null else node.text
        case Items():
            return [as_text(item) for item in node.items]
        case Pairs():
            return {key: as_text(value) for key, value in node.values.items()}


def as_free(node: Node) -> Any:
    """Lists, dicts and scalars as in JSON, for free-form values.

    A plain scalar is null, a boolean or a number only if JSON writes it in the same way (null and booleans also
    capitalized). Everything else stays text: what YAML 1.1 would convert (`no`, `0123`, `1_000`, `12:30:00`, dates),
    numbers that are not finite, and integers over 64 bits.
    """
    match node:
        case Scalar():
            return _free_scalar(node) if node.plain else node.text
        case Items():
            return [as_free(item) for item in node.items]
        case Pairs():
            return {key: as_free(value) for key, value in node.values.items()}


def walk(node: Node, path: Sequence[str | int]) -> tuple[Node, Sequence[str | int]]:
    """Follow `path` as far as possible. Returns the node that was reached, and the rest of the path."""
    for depth, step in enumerate(path):
        if isinstance(node, Pairs) and step in node.values:
            node = node.values[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            return node, path[depth:]
    return node, ()


def respelled(node: Node, path: KeyPath, name: str) -> Node:
    """The same node with another name for the key at `path`, which must exist."""
    step, rest = path[0], path[1:]
    if isinstance(node, Items):
        items = [respelled(item, rest, name) if at == step else item for at, item in enumerate(node.items)]
        return replace(node, items=items)
    assert isinstance(node, Pairs)
    if rest:
        return replace(node, values={**node.values, str(step): respelled(node.values[str(step)], rest, name)})
    keys = {name if key == step else key: written for key, written in node.keys.items()}
    return replace(node, keys=keys, values={name if key == step else key: each for key, each in node.values.items()})


def _free_scalar(scalar: Scalar) -> Any:
    text = scalar.text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if -(2**63) <= number < 2**64 else text
    if _FLOAT.fullmatch(text):
        real = float(text)
        return real if abs(real) != float("inf") and not text.lstrip("-").isdigit() else text
    return text
