"""Jinja templates that can neither reach out nor run away.

They are rendered inside the store's transaction, so a slip of the pen in the settings must cost an error, not the
daemon: loops have a common budget, ranges and repetitions a small bound, and only harmless filters and methods are
offered. Growth is then bounded by what is written in the template itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
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


class Sandbox(ImmutableSandboxedEnvironment):
    """What a template may do; `filters` and `refused` kinds of statements come on top of those of every template."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(
        self,
        *,
        filters: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
        refused: Sequence[type[nodes.Node]] = (),
        undefined: type[jinja2.Undefined] = jinja2.Undefined,
        finalize: Callable[..., Any] | None = None,
    ) -> None:
        # No HTML: what comes from outside is made harmless before it gets here, or by `finalize`.
        super().__init__(autoescape=False, loader=None, undefined=undefined, finalize=finalize)
        every: Mapping[str, Callable[..., Any]] = self.filters
        self.filters = {name: every[name] for name in _FILTERS} | {_EACH: _each} | dict(filters)
        self.globals = {"range": _range}
        self.refused: Final[Sequence[type[nodes.Node]]] = (*_REFUSED, *refused)

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


class Template:
    """One template, compiled once. TemplateFault when it is no template or uses a name that is not offered."""

    def __init__(self, source: str, *, names: Collection[str], sandbox: Sandbox | None = None) -> None:
        sandbox = sandbox or _TEXT
        try:
            tree = sandbox.parse(source)
            _bound_loops(tree, sandbox.refused)
            _refuse_unknown(tree, [*names, *sandbox.globals])
            code = sandbox.compile(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFault(f"line {error.lineno}: {error.message}") from error
        # Python's own compiler has limits too, such as twenty nested loops.
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
            raise TemplateFault(f"{type(error).__name__}: {error}") from error
        self._template = jinja2.Template.from_code(sandbox, code, sandbox.globals)

    def render(self, context: Mapping[str, object]) -> str:
        """The text for these values, of `MOST_OUTPUT` characters only its whole lines. TemplateFault when it cannot
        be made."""
        text = self._text(context, MOST_OUTPUT)
        return text if len(text) <= MOST_OUTPUT else text[:MOST_OUTPUT].rpartition("\n")[0]

    def render_whole(self, context: Mapping[str, object], *, most_chars: int) -> str:
        """The text for these values. TemplateFault when it cannot be made, or is longer."""
        text = self._text(context, most_chars)
        if len(text) > most_chars:
            raise TemplateFault(f"gives more than {most_chars} characters")
        return text

    def _text(self, context: Mapping[str, object], most_chars: int) -> str:
        """The text, or more than `most_chars` characters of it."""
        pieces: list[str] = []
        size = 0
        turns = _left.set(MOST_STEPS)
        try:
            for piece in self._template.generate(context):
                pieces.append(piece[: most_chars + 1])
                size += len(piece)
                if size > most_chars:
                    break
        # Whatever a template runs into (a missing key, a text that is no number) is the template's fault.
        except Exception as error:
            raise TemplateFault(f"{type(error).__name__}: {error}") from error
        finally:
            _left.reset(turns)
        return "".join(pieces)


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


def _bound_loops(tree: nodes.Template, refused: Iterable[type[nodes.Node]]) -> None:
    for kind in refused:
        for found in tree.find_all(kind):
            raise TemplateFault(f"line {found.lineno}: {kind.__name__.lower()} is not offered here")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateFault(f"line {loop.lineno}: recursive loops are not offered here")
        loop.iter = nodes.Filter(loop.iter, _EACH, [], [], None, None, lineno=loop.lineno)


def _refuse_unknown(tree: nodes.Template, names: Collection[str]) -> None:
    for name in sorted(jinja2.meta.find_undeclared_variables(tree) - set(names)):
        near = difflib.get_close_matches(name, names, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "there are: " + ", ".join(sorted(names))
        raise TemplateFault(f'unknown name "{name}"; {hint}')


_TEXT: Final = Sandbox()
