"""All descriptions there are: those that are shipped, and those of people's settings."""

from __future__ import annotations

import difflib
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from bridge.errors import ConfigError
from bridge.providers.description import Description
from bridge.providers.merging import merged

Steps = tuple[str | int, ...]
Tree = Mapping[str, Any]
_BUILT_IN: Final = files("bridge.providers").joinpath("builtin")


@dataclass(frozen=True, slots=True)
class DescriptionProblem:
    """One mistake; `path` leads to it from the mapping of descriptions: (name, key, ...)."""

    path: Steps
    message: str


class DescriptionsRefused(ConfigError):
    """Descriptions with mistakes. `found` holds each with its path, `problems` a line for each."""

    def __init__(self, found: Sequence[DescriptionProblem]) -> None:
        super().__init__([f"providers.{'.'.join(map(str, each.path))}: {each.message}" for each in found])
        self.found = tuple(found)


class _Shipped(Mapping[str, Description]):
    """The built-in descriptions, each read when it is first asked for: a command mostly needs one."""

    def __getitem__(self, name: str) -> Description:
        if name not in _names():
            raise KeyError(name)
        return _shipped(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())


_SHIPPED: Final = _Shipped()


def descriptions() -> Mapping[str, Description]:
    """The built-in descriptions by name."""
    return _SHIPPED


def load_descriptions(user: Mapping[str, Any]) -> Mapping[str, Description]:
    """The built-in descriptions and `user`'s own, which may build upon each other and upon built-in ones (`extends`)
    and, under a built-in's name, stand in its place. DescriptionsRefused holds all mistakes."""
    found: list[DescriptionProblem] = []
    made: dict[str, Description] = {}
    for name, tree in user.items():
        if not isinstance(tree, Mapping):
            found.append(DescriptionProblem((name,), "a description is a mapping of keys"))
            continue
        if "name" in tree:
            found.append(DescriptionProblem((name, "name"), 'unknown key "name": a description\'s name is its key'))
        try:
            made[name] = _validated(name, _extended(name, tree, user))
        except ValidationError as error:
            found += dict.fromkeys(_translated(name, tree, error))
        except _Unextendable as error:
            found.append(DescriptionProblem((name, "extends"), str(error)))
    if found:
        raise DescriptionsRefused(found)
    return ChainMap(made, _SHIPPED) if made else _SHIPPED  # type: ignore[arg-type]  # nobody writes to it


def effective(description: Description) -> dict[str, Any]:
    """The description whole, with all that it builds upon, as it could be written: keys at their default left out."""
    tree: dict[str, Any] = description.model_dump(mode="json", exclude_unset=True, exclude={"name"})
    if "direct" in tree:
        tree["direct"] |= {key: None for key in tree["ask"] if key not in tree["direct"]}
    return tree


class _Unextendable(Exception):
    """What `extends` names cannot be built upon."""


@cache
def _names() -> Sequence[str]:
    return sorted(file.name.removesuffix(".yaml") for file in _BUILT_IN.iterdir() if file.name.endswith(".yaml"))


@cache
def _tree(name: str) -> Tree:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    tree: Tree = yaml.load(_BUILT_IN.joinpath(f"{name}.yaml").read_bytes(), loader)  # noqa: S506 - either is safe
    return tree


@cache
def _shipped(name: str) -> Description:
    return _validated(name, _extended(name, _tree(name), {}))


def _validated(name: str, tree: Tree) -> Description:
    return Description.model_validate({**tree, "name": name})


def _extended(name: str, tree: Tree, user: Tree, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The tree with its parents' underneath. A description that extends its own name means the built-in one."""
    own = {key: value for key, value in tree.items() if key != "extends"}
    parent = tree.get("extends")
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise _Unextendable("extends is the name of one provider")
    if parent in above or (parent == name and name not in _names()):
        raise _Unextendable(f"{' extends '.join((*above, name, parent))}: that is a circle")
    if parent != name and isinstance(user.get(parent), Mapping):
        return merged(_extended(parent, user[parent], user, (*above, name)), own)
    if parent in _names():
        return merged(_extended(parent, _tree(parent), {}), own)
    raise _Unextendable(f'there is no provider "{parent}"{_meant(parent, sorted({*user, *_names()} - {name}))}')


def _translated(name: str, written: Tree, error: ValidationError) -> Iterator[DescriptionProblem]:
    """Pydantic's findings in our words, each at the nearest place that the description itself has."""
    for each in error.errors(include_url=False, include_input=False):
        path: Steps = tuple(step for step in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            known = _keys_at(path[:-1])
            message = f'unknown key "{path[-1]}"{_meant(str(path[-1]), known)}'
        elif path[-1:] == ("[key]",) and each["type"] in {"enum", "literal_error"}:
            known = re.findall(r"'([^']+)'", each["msg"])
            message = f'unknown key "{path[-2]}"{_meant(str(path[-2]), known)}'
        elif each["type"] in {"dict_type", "mapping_type", "model_type", "model_attributes_type"}:
            message = "a mapping of keys is needed here"
        elif each["type"] == "missing":
            message = f'"{path[-1]}" is missing'
        yield DescriptionProblem((name, *_nearest(written, path)), message[0].lower() + message[1:])


def _nearest(written: Any, path: Steps) -> Steps:
    """As much of the path as was written."""
    for depth, step in enumerate(path):
        is_there = (isinstance(written, Mapping) and step in written) or (
            isinstance(written, list) and isinstance(step, int) and step < len(written)
        )
        if not is_there:
            return path[:depth]
        written = written[step]
    return path


def _meant(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; there are {', '.join(known)}" if known else ""


def _keys_at(path: Steps) -> list[str]:
    """The keys that a description may have there."""
    kinds: list[Any] = [Description]
    for step in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    names = [name for kind in kinds if _is_model(kind) for name in kind.model_fields]
    return [name for name in names if name != "name"] + (["extends"] if not path else [])


def _inside(kind: Any, step: str | int) -> list[Any]:
    if _is_model(kind):
        field = kind.model_fields.get(step)
        return [] if field is None else _plain(field.annotation)
    return [plain for argument in get_args(kind)[-1:] if argument is not ... for plain in _plain(argument)] or [
        plain for argument in get_args(kind)[:1] for plain in _plain(argument)
    ]


def _plain(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [plain for argument in get_args(annotation) for plain in _plain(argument)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
