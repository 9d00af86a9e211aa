"""How one description builds upon another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """The child's tree over the parent's: mappings key by key, all else replaced; null takes a key away. The child's
    keys come first, because where order counts (forms) the first that fits wins."""
    tree: dict[str, Any] = {}
    for key, value in child.items():
        inherited = parent.get(key)
        if isinstance(value, Mapping) and isinstance(inherited, Mapping):
            tree[key] = merged(inherited, value)
        elif value is not None:
            tree[key] = value
    return tree | {key: value for key, value in parent.items() if key not in child}
