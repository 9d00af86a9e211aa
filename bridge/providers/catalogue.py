"""All provider descriptions: the built-in ones, and those in the settings."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

from pydantic import ValidationError

from bridge.config.mistakes import Mistake, mistakes, reached
from bridge.config.problems import NOT_A_MAPPING, written_key
from bridge.config.provider_trees import ExtendsError, Tree, builtin_names, builtin_tree, extended
from bridge.errors import ConfigError
from bridge.providers.calls import NAMED_GROUP
from bridge.providers.description import Description
from bridge.providers.selector import expressions

KEYS: Final = (*(key for key in Description.model_fields if key != "name"), "extends")


class DescriptionsRefused(ConfigError):
    """Descriptions with errors. `found` holds each error, its path beginning with the provider's name; `problems` has a
    line for each."""

    def __init__(self, found: Sequence[Mistake]) -> None:
        super().__init__([f"providers.{written_key(each.path)}: {each.message}" for each in found])
        self.found = tuple(found)


class _BuiltIn(Mapping[str, Description]):
    """The built-in descriptions. Each is read when it is first needed, because most commands need only one."""

    def __getitem__(self, name: str) -> Description:
        if name not in builtin_names():
            raise KeyError(name)
        return _built_in(name)

    def __iter__(self) -> Iterator[str]:
        return iter(builtin_names())

    def __len__(self) -> int:
        return len(builtin_names())


BUILT_IN: Final = _BuiltIn()


def load_descriptions(user: Mapping[str, Any]) -> Mapping[str, Description]:
    """The built-in descriptions and those of `user`, which may extend each other and built-in ones (`extends`). A
    description with the name of a built-in one replaces it. DescriptionsRefused contains all errors."""
    found: list[Mistake] = []
    made: dict[str, Description] = {}
    for name, tree in user.items():
        if not isinstance(tree, Mapping):
            found.append(Mistake(path=(name,), message=NOT_A_MAPPING))
            continue
        if "name" in tree:
            message = 'unknown key "name": the name of a description is its key'
            found.append(Mistake(path=(name, "name"), message=message, is_key=True))
        try:
            made[name] = _validated(name, whole := extended(name, tree, user))
        except ValidationError as error:
            wrong = _without_inherited([*mistakes(error, Description, whole, keys=KEYS)], whole)
            found += dict.fromkeys(replace(each, path=(name, *each.path)) for each in wrong)
        except ExtendsError as error:
            found.append(Mistake(path=(name, "extends"), message=str(error)))
    if found:
        raise DescriptionsRefused(found)
    return ChainMap(made, BUILT_IN) if made else BUILT_IN  # type: ignore[arg-type]  # nobody writes to it


def _without_inherited(found: Sequence[Mistake], tree: Tree) -> Iterator[Mistake]:
    """The mistakes without those that `direct` has only because it inherits them from `ask`."""
    asked = [each.path[1:] for each in found if each.path[:1] == ("ask",)]
    for each in found:
        rest = each.path[1:]
        is_inherited = each.path[:1] == ("direct",) and reached(tree["direct"], rest)[1]
        if not is_inherited or not any(rest == at or (at and rest[: len(at)] == at) for at in asked):
            yield each


def effective(description: Description) -> dict[str, Any]:
    """The full description, including everything that it extends, as it could be written. Keys with their default value
    are left out."""
    tree: dict[str, Any] = description.model_dump(mode="json", exclude_unset=True, exclude={"name"})
    if len(description.base_url) == 1:
        tree["base_url"] = description.base_url[0]
    if "direct" in tree:
        tree["direct"] |= {key: None for key in tree["ask"] if key not in tree["direct"]}
    return tree


@cache
def _built_in(name: str) -> Description:
    return _validated(name, builtin_tree(name))


def _validated(name: str, tree: Tree) -> Description:
    description = Description.model_validate({**tree, "name": name}, context=_groups(tree))
    for where, expression in expressions(description, f"providers.{name}"):
        expression.where = where
    return description


def _groups(tree: Tree) -> frozenset[str]:
    """The named groups of the action pattern, which requests may use as placeholders; also if its key is misspelled."""
    action = tree.get("action")
    texts = action.values() if isinstance(action, Mapping) else ()
    return frozenset(name for text in texts if isinstance(text, str) for name in NAMED_GROUP.findall(text))
