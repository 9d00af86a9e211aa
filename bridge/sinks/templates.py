"""Jinja templates that can neither reach out nor run away.

They are rendered inside the store's transaction, so a slip of the pen in the settings must cost an error, not the
daemon: loops have a common budget, ranges and repetitions a small bound, and only harmless filters and methods are
offered. Growth is then bounded by what is written in the template itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_STEPS: Final = 10_000  # turns of all loops of one rendering together
MOST_RANGE: Final = 1_000
MOST_OUTPUT: Final = 20_000  # characters, before the text is cut to size; also the largest product

_FILTERS: Final = (
    "abs capitalize count d default dictsort first float int items join last length list lower map max min reject "
    "rejectattr replace reverse select selectattr sort string sum title trim truncate unique upper urlencode wordcount"
).split()
_METHODS: Final = frozenset(
    "get items keys values startswith endswith upper lower title strip lstrip rstrip split count cycle changed".split()
)
_REFUSED: Final = (
    nodes.Macro,
    nodes.CallBlock,
    nodes.Block,
    nodes.Extends,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
)
_EACH: Final = "each turn of a loop"  # no name a template could write

_left: ContextVar[int] = ContextVar("turns left")


class TemplateFault(ValueError):
    """The template is wrong, or could not be rendered for this event; the text says why, in one line."""


class Template:
    """One template, compiled once. TemplateFault when it is no template or uses a name that is not offered."""

    def __init__(self, source: str, *, names: Collection[str]) -> None:
        try:
            tree = _ENVIRONMENT.parse(source)
            _bound_loops(tree)
            _refuse_unknown(tree, names)
            code = _ENVIRONMENT.compile(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFault(f"line {error.lineno}: {error.message}") from error
        # Python's own compiler has limits too, such as twenty nested loops.
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
            raise TemplateFault(f"{type(error).__name__}: {error}") from error
        self._template = jinja2.Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.globals)

    def render(self, context: Mapping[str, object]) -> str:
        """The text for these values, of `MOST_OUTPUT` characters only its whole lines. TemplateFault when it cannot
        be made."""
        pieces: list[str] = []
        size = 0
        turns = _left.set(MOST_STEPS)
        try:
            for piece in self._template.generate(context):
                pieces.append(piece[: MOST_OUTPUT + 1])
                size += len(piece)
                if size > MOST_OUTPUT:
                    break
        # Whatever a template runs into (a missing key, a text that is no number) is the template's fault.
        except Exception as error:
            raise TemplateFault(f"{type(error).__name__}: {error}") from error
        finally:
            _left.reset(turns)
        text = "".join(pieces)
        return text if size <= MOST_OUTPUT else text[:MOST_OUTPUT].rpartition("\n")[0]


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def is_safe_callable(self, obj: Any) -> bool:
        if obj is _range:
            return True
        return getattr(obj, "__name__", None) in _METHODS and hasattr(obj, "__self__")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise OverflowError("** is not offered")
        if operator == "%" and not isinstance(left, int | float):
            raise OverflowError("% formats no text here")
        if operator == "*" and _weight(left) * _weight(right) > MOST_OUTPUT:
            raise OverflowError("the product is too large")
        return super().call_binop(context, operator, left, right)


def _weight(factor: Any) -> float:
    """How large a product this factor makes: its length, or its value."""
    return float(len(factor)) if hasattr(factor, "__len__") else abs(float(factor))


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MOST_RANGE:
        raise OverflowError(f"range() has at most {MOST_RANGE} numbers here")
    return found


def _each(items: Iterable[object]) -> Iterator[object]:
    for item in items:
        left = _left.get() - 1
        if left < 0:
            raise OverflowError(f"more than {MOST_STEPS} turns of loops")
        _left.set(left)
        yield item


def _bound_loops(tree: nodes.Template) -> None:
    for kind in _REFUSED:
        for found in tree.find_all(kind):
            raise TemplateFault(f"line {found.lineno}: {kind.__name__.lower()} is not offered here")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateFault(f"line {loop.lineno}: recursive loops are not offered here")
        loop.iter = nodes.Filter(loop.iter, _EACH, [], [], None, None, lineno=loop.lineno)


def _refuse_unknown(tree: nodes.Template, names: Collection[str]) -> None:
    known = [*names, *_ENVIRONMENT.globals]
    for name in sorted(jinja2.meta.find_undeclared_variables(tree) - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "there are: " + ", ".join(sorted(names))
        raise TemplateFault(f'unknown name "{name}"; {hint}')


def _environment() -> _Environment:
    # Chat texts are no HTML: what comes from outside has been made harmless before it gets here.
    environment = _Environment(autoescape=False, loader=None)
    every: Mapping[str, Callable[..., Any]] = environment.filters
    environment.filters = {name: every[name] for name in _FILTERS} | {_EACH: _each}
    environment.globals = {"range": _range}
    return environment


_ENVIRONMENT: Final = _environment()
