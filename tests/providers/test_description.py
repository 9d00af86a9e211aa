from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from bridge.providers import Description, descriptions
from bridge.providers.selector import Selector

Tree = dict[str, Any]


def _kling() -> Tree:
    tree: Tree = yaml.safe_load(files("bridge.providers").joinpath("builtin/kling.yaml").read_text(encoding="utf-8"))
    return tree


def test_every_built_in_is_named_as_its_file() -> None:
    assert list(descriptions()) == ["kling"]
    assert all(name == description.name for name, description in descriptions().items())


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda tree: tree.update(colour="red"), "colour"),
        (lambda tree: tree["ask"].update(path="kling/{id}"), "a path begins with /"),
        (lambda tree: tree["ask"].update(path="/kling/{action}"), "holds {id}"),
        (lambda tree: tree["ask"].update(path="/{id}/{other}"), "holds {id}"),
        (lambda tree: tree["ask"].update(action="("), "no regular expression"),
        (lambda tree: tree["forms"]["kling"].update(status="a..b"), "is no JMESPath expression"),
        (lambda tree: tree["forms"]["kling"]["words"].update(running=["Submitted "]), "stands twice"),
        (lambda tree: tree["forms"]["kling"]["words"].update(not_found=["gone"]), "cannot mean not_found"),
        (lambda tree: tree["codes"]["means"].update(succeeded=[1]), "cannot mean succeeded"),
        (lambda tree: tree["forms"]["kling"].update(results=[{"at_least": 2}]), "either lists or url"),
    ],
)
def test_a_mistake_in_a_description_is_reported(spoil: Callable[[Tree], object], complaint: str) -> None:
    tree = _kling()
    spoil(tree)

    with pytest.raises(ValidationError, match=complaint):
        Description.model_validate(tree)


def test_an_expression_that_does_not_fit_the_value_selects_nothing() -> None:
    assert Selector("starts_with(a, 'x')")({"a": 5}) is None
    assert Selector("starts_with(a, 'x')")([]) is None


@pytest.mark.parametrize("expression", ["@", "a", "a.b", "a.b.c", "items[0].id", "a.b || c"])
@pytest.mark.parametrize(
    "value", [None, 3, "a", [], {"a": {"b": {"c": 1}}}, {"a": [1]}, {"items": [{"id": 2}], "c": 0}]
)
def test_the_short_way_selects_what_jmespath_selects(expression: str, value: object) -> None:
    assert Selector(expression)(value) == Selector(f"({expression})")(value)
