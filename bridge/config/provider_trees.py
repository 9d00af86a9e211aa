"""Provider descriptions as plain trees, not validated: the built-in files, and the results of `extends`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from bridge.config.yaml import plain_yaml
from bridge.domain.quoting import quoted, unknown_name

Tree = Mapping[str, Any]

REPLACED: Final = frozenset({"auth"})  # not merged, because only one way to send a key can apply

_FOLDER: Final = Path(__file__).parents[1] / "providers" / "builtin"


class ExtendsError(ValueError):
    """`extends` does not name a provider that can be extended."""


@cache
def builtin_names() -> tuple[str, ...]:
    """The names of the built-in providers, which are the names of their files."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


@cache
def builtin_tree(name: str) -> Tree:
    """A built-in description with everything that it inherits."""
    return extended(name, _file(name), {})


def unknown_provider(given: str, known: Iterable[str], *, most: int = 12) -> str:
    """`unknown_name` for a provider. It also finds the built-in ones whose title or official host has the name as a
    word: Hailuo, Seedance, Freepik."""
    word = re.compile(rf"\b{re.escape(given.strip())}\b", re.IGNORECASE)
    trees = {name: _file(name) for name in builtin_names()}
    found = [f'"{name}"' for name, tree in trees.items() if word.search(f"{tree.get('title')} {tree.get('base_url')}")]
    if given.strip() and 0 < len(found) <= 3:
        return f"unknown provider {quoted(given)}; did you mean {' or '.join(found)}?"
    return unknown_name("provider", given, known, most=most)


def extended(name: str, tree: Tree, own: Tree, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The tree, merged with those that it extends. `own` are the descriptions of the settings. If one extends its own
    name, that means the built-in one. ExtendsError if `extends` names an unknown provider."""
    rest = {key: value for key, value in tree.items() if key != "extends"}
    parent = tree.get("extends")
    if parent is None:
        return rest
    if not isinstance(parent, str):
        raise ExtendsError("must be the name of one provider")
    if parent in above or (parent == name and name not in builtin_names()):
        raise ExtendsError(f"extends itself: {' extends '.join((*above, name, parent))}")
    if parent != name and isinstance(own.get(parent), Mapping):
        return merged(extended(parent, own[parent], own, (*above, name)), rest)
    if parent in builtin_names():
        inherited = extended(parent, _file(parent), {})
        if own and (parent != name or above):
            inherited.pop("base_url", None)  # a variant may be a reseller's, whose key must not be sent to the vendor
        return merged(inherited, rest)
    raise ExtendsError(unknown_provider(parent, {*own, *builtin_names()} - {name}))


def merged(parent: Tree, child: Tree) -> dict[str, Any]:
    """The child's tree merged into the parent's: mappings are merged key by key, all else is replaced, and null removes
    a key. The child's keys come first, because in forms the first that fits is used."""
    tree: dict[str, Any] = {}
    for key, value in child.items():
        inherited = parent.get(key)
        if isinstance(value, Mapping) and isinstance(inherited, Mapping) and key not in REPLACED:
            tree[key] = merged(inherited, value)
        elif value is not None:
            tree[key] = value
    return tree | {key: value for key, value in parent.items() if key not in child}


def effective_tree(name: str, own: Tree) -> Tree:
    """The description of a provider, from the settings or built-in; empty if it is missing or not a mapping."""
    tree = own.get(name)
    if isinstance(tree, Mapping):
        try:
            return extended(name, tree, own)
        except ExtendsError:  # reported where descriptions are checked
            return {}
    return builtin_tree(name) if name in builtin_names() else {}


def official_host(name: str, own: Tree) -> str:
    """The official base URL of a provider, without a slash at its end, if it has exactly one; otherwise empty."""
    hosts = _official_hosts(name, own)
    return hosts[0].rstrip("/") if len(hosts) == 1 else ""


def lacking_base_url(name: str, own: Tree) -> str | None:
    """What is wrong with an account of this provider that sets no base URL; None if it needs none."""
    if official_host(name, own):
        return None
    if hosts := _official_hosts(name, own):
        which = f"{name} has {len(hosts)} official hosts: {', '.join(hosts)}"
        return f"is missing; {which}. Write the one that your key is for, or the address of your aggregator"
    parent = own[name].get("extends") if isinstance(own.get(name), Mapping) else None
    if isinstance(parent, str) and (hosts := _official_hosts(parent, own)):
        which = (
            f"a variant does not inherit it from {parent} ({', '.join(hosts)}), because its key may be for another host"
        )
        return f"is missing; {which}. Write base_url here or in providers.{name}"
    return "is missing; write the base URL of the API, e.g. https://api.example.com"


def _official_hosts(name: str, own: Tree) -> tuple[str, ...]:
    match effective_tree(name, own).get("base_url"):
        case str(only):
            return (only,)
        case [*hosts]:
            return tuple(map(str, hosts))
    return ()


@cache
def _file(name: str) -> Tree:
    tree: Tree = plain_yaml(_FOLDER / f"{name}.yaml")
    return tree
