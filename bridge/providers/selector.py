"""Selects values in an answer: JMESPath, with a fast path for plain dotted names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, PlainSerializer

from bridge.domain.task import Json
from bridge.expressions.pattern import Pattern
from bridge.expressions.query import ExpressionError, Query
from bridge.providers.task_rules import listed

DOTTED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class Selector(Query):
    """A JMESPath expression, compiled once. ValueError if it is invalid."""

    __slots__ = ("_name", "_names")

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._names = () if text == "@" else tuple(text.split(".")) if DOTTED.fullmatch(text) else None
        self._name = text if self._names == (text,) else None  # a single name, the most common expression

    def __call__(self, value: Json) -> Json:
        """The selected value; None if there is none, or if a function in the expression does not accept its value.

        ExpressionLimit if it exceeds its budget.
        """
        if self._name is not None:
            return value.get(self._name) if isinstance(value, dict) else None
        if self._names is None:
            try:
                return self.search(value)
            except ExpressionError:
                return None
        for name in self._names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value


def _selector(value: Any) -> Any:
    if not isinstance(value, str | Selector):
        raise ValueError("a JMESPath expression is text, such as data.status")
    return Selector(value) if isinstance(value, str) else value


Select = Annotated[Selector, BeforeValidator(_selector), PlainSerializer(lambda selector: selector.text)]
"""A setting that is an expression."""

SelectFirst = Annotated[tuple[Select, ...], BeforeValidator(listed)]
"""A setting that is one expression, or several in order of preference."""


def selected(selectors: tuple[Selector, ...], value: Json) -> Iterable[Json]:
    """The value of each selector, without None."""
    if len(selectors) == 1:  # the most common case; a generator would take twice as long
        selector = selectors[0]
        name = selector._name
        found = value.get(name) if name is not None and isinstance(value, dict) else selector(value)
        return () if found is None else (found,)
    return (found for selector in selectors if (found := selector(value)) is not None)


def expressions(part: object, where: str = "") -> Iterator[tuple[str, Selector | Pattern]]:
    """Every expression in a part of a description, with its position, such as `providers.mine.forms.plain.message`."""
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(part, Selector | Pattern):
        yield where, part
    elif isinstance(part, BaseModel):
        inner = ((name, getattr(part, name)) for name in type(part).model_fields)
    elif isinstance(part, Mapping):
        inner = part.items()
    elif isinstance(part, tuple):
        inner = [("", part[0])] if len(part) == 1 else enumerate(part)
    for key, value in inner:
        yield from expressions(value, f"{where}.{key}" if key != "" else where)
