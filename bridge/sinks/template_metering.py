"""Charges templates for work that grows with their values, before the work is done.

A step takes about half a microsecond, as for JMESPath expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from bridge.expressions.json_size import SizeMeter

MOST_STEPS: Final = 250_000  # steps of one rendering: about 100 ms
MOST_TURNS: Final = 10_000  # iterations of all loops in one rendering together
TURN_STEPS: Final = 5
CHARS_A_STEP: Final = 64
WRITTEN_A_STEP: Final = 32  # characters of a list or object per step, when it is written out

# Names that a template cannot contain.
_CONCAT: Final = "joined by ~"
_CHARGED: Final = "charged"
_EACH: Final = "each iteration of a loop"


class _Budget:
    """The remaining steps and iterations of one rendering. Each iteration may write the whole template, of `chars`
    characters."""

    def __init__(self, chars: int) -> None:
        self._steps = MOST_STEPS
        self._turns = MOST_TURNS
        self._turn_steps = TURN_STEPS + chars // CHARS_A_STEP
        self._size_meter = SizeMeter()

    def use(self, steps: int) -> None:
        """Charge this many steps. OverflowError if there are not enough left."""
        self._steps -= steps
        if self._steps < 0:
            raise OverflowError("the template does too much with values of this size")

    def turn(self) -> None:
        """Charge one iteration of a loop. OverflowError if none is left."""
        if self._turns <= 0:
            raise OverflowError(f"more than {MOST_TURNS} iterations of loops")
        self._turns -= 1
        self.use(self._turn_steps)

    def cost(self, value: Any) -> int:
        """The number of steps for reading or copying the whole value."""
        if isinstance(value, str):
            return len(value) // CHARS_A_STEP
        if isinstance(value, tuple):
            value = list(value)
        is_deep = isinstance(value, list | dict)
        return self._size_meter.measure(value, self.use)[0] // WRITTEN_A_STEP if is_deep else 0


_current: ContextVar[_Budget | None] = ContextVar("the budget of this rendering", default=None)


@contextmanager
def budget(chars: int) -> Iterator[None]:
    """A new budget for rendering a template of this many characters."""
    token = _current.set(_Budget(chars))
    try:
        yield
    finally:
        _current.reset(token)


def charge(*values: Any) -> None:
    """Charge for reading all of these values."""
    if (current := _current.get()) is not None:
        current.use(1 + sum(map(current.cost, values)))


def metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a charge for its arguments and, if the result is text, for its result."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        charge(*args, *kwargs.values())
        result = function(*args, **kwargs)
        if isinstance(result, str):
            charge(result)
        return result

    return call


def metered_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A Jinja filter with charges. Filters whose result may be much larger than their arguments are charged before the
    call."""
    before = _BEFORE.get(name)
    if before is None:
        return metered(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        before(*args[1:] if hasattr(function, "jinja_pass_arg") else args, **kwargs)
        return function(*args, **kwargs)

    return metered(call)


def metered_output(finalize: Callable[..., Any] | None) -> Callable[..., Any]:
    """The function that Jinja calls for each value that it writes: `finalize`, with charges."""

    def written(value: Any) -> Any:
        charge(value)
        return value if finalize is None else finalize(value)

    return written


def _use(steps: int) -> None:
    if (current := _current.get()) is not None:
        current.use(steps)


def _replace(text: Any, old: Any, new: Any, count: Any = None) -> None:
    times = str(text).count(str(old)) if count is None else int(count)
    _use(times * len(str(new)) // CHARS_A_STEP)


def _join(items: Any, separator: Any = "", attribute: Any = None) -> None:
    if hasattr(items, "__len__"):
        _use(len(items) * (1 + len(str(separator))) // CHARS_A_STEP)


def _sum(items: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, int | float):
        raise OverflowError("sum adds only numbers; its start must be a number")


_BEFORE: Final[Mapping[str, Callable[..., None]]] = {"replace": _replace, "join": _join, "sum": _sum}


def _concat(*parts: Any) -> str:
    charge(*parts)
    return "".join(map(str, parts))


def _charged(value: Any) -> Any:
    charge(value)
    return value


def _each(items: Iterable[object]) -> Iterator[object]:
    for item in items:
        if (current := _current.get()) is not None:
            current.turn()
        yield item


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {_CONCAT: _concat, _CHARGED: _charged, _EACH: _each}


class Charging(NodeTransformer):
    """Adds charges where Jinja offers no hook: `~`, comparisons, slices, loops."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        first, *rest = node.nodes
        return nodes.Filter(first, _CONCAT, rest, [], None, None, lineno=node.lineno)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filtered(node.expr, _CHARGED)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, _CHARGED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, _CHARGED)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _EACH)
        return node


def _filtered(node: Any, name: str) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
