"""Picking a value out of an answer: JMESPath, with a short way for plain dotted names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from pydantic import BeforeValidator, PlainSerializer

from bridge.domain.task import Json

DOTTED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class Selector:
    """A JMESPath expression, compiled once. ValueError when it is none."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._names: tuple[str, ...] | None = None
        self._name: str | None = None  # a single one, as most are
        if expression == "@":
            self._names = ()
        elif DOTTED.fullmatch(expression):
            self._names = tuple(expression.split("."))
            self._name = expression if len(self._names) == 1 else None
        try:
            self._compiled = jmespath.compile(expression)
        except JMESPathError as error:
            raise ValueError(f'"{expression}" is no JMESPath expression: {str(error).splitlines()[0]}') from None
        for name, given in _calls(self._compiled.parsed):
            if problem := _misuse(name, given):
                raise ValueError(f'"{expression}" is no JMESPath expression: {problem}')

    def __call__(self, value: Json) -> Json:
        """What the expression selects; None when there is nothing, or a function of it does not fit the value."""
        if self._name is not None:
            return value.get(self._name) if isinstance(value, dict) else None
        if self._names is None:
            try:
                return self._compiled.search(value)
            except (JMESPathError, ValueError, TypeError):
                return None
        for name in self._names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    """The functions that a parsed expression calls, each with how many values it gives them."""
    if node["type"] == "function_expression":
        yield str(node["value"]), len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls(child)


def _misuse(name: str, given: int) -> str | None:
    """Why no answer can be had of a call."""
    function = Functions.FUNCTION_TABLE.get(name)
    if function is None:
        return f"there is no function {name}()"
    takes = function["signature"]
    if given == len(takes) or (given > len(takes) and takes and takes[-1].get("variadic")):
        return None
    return f"{name}() takes {len(takes)} values, not {given}"


def _selector(value: Any) -> Any:
    if not isinstance(value, str | Selector):
        raise ValueError("a JMESPath expression is text, such as data.status")
    return Selector(value) if isinstance(value, str) else value


def _selectors(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Select = Annotated[Selector, BeforeValidator(_selector), PlainSerializer(lambda selector: selector.expression)]
"""A setting that is an expression."""

SelectFirst = Annotated[tuple[Select, ...], BeforeValidator(_selectors)]
"""A setting that is one expression or several in order of preference."""


def selected(selectors: tuple[Selector, ...], value: Json) -> Iterable[Json]:
    """What each selects, without the Nones."""
    if len(selectors) == 1:  # most often; a generator would cost twice as much
        found = selectors[0](value)
        return () if found is None else (found,)
    return (found for selector in selectors if (found := selector(value)) is not None)
