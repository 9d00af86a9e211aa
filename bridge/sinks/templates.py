"""Jinja templates in a sandbox, with a limited amount of work.

They are rendered inside the store's transaction. A mistake in the settings may cause an error, but must not stop the
daemon. Loops, ranges and products are limited, and only harmless filters and methods exist. All other work that grows
with the values (joining, sorting, comparing, writing) is charged by `template_metering`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bridge.domain.quoting import quoted, unknown_name
from bridge.sinks import template_metering as metering

MOST_RANGE: Final = 1_000
MOST_OUTPUT: Final = 2_000_000  # characters, before the text is cut to size: enough for all URLs of a 1 MiB answer
MOST_PRODUCT: Final = 20_000

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


class TemplateFault(ValueError):
    """The template is invalid, or could not be rendered for this event. The text says why, in one line."""


class Sandbox(ImmutableSandboxedEnvironment):
    """The rules for a template. `filters` and `refused` statements are added to those of every template."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(
        self,
        *,
        filters: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
        refused: Sequence[type[nodes.Node]] = (),
        finalize: Callable[..., Any] | None = None,
    ) -> None:
        # No HTML escaping: values are made harmless earlier, or by `finalize`.
        super().__init__(
            autoescape=False,
            loader=None,
            undefined=jinja2.ChainableUndefined,  # a key of a missing object is missing, too
            finalize=metering.metered_output(finalize),
        )
        every: Mapping[str, Callable[..., Any]] = self.filters
        offered = {name: every[name] for name in _FILTERS} | dict(filters)
        self.filters = {name: metering.metered_filter(name, function) for name, function in offered.items()}
        self.filters |= metering.FILTERS
        tests: dict[str, Any] = self.tests
        self.tests = {name: metering.metered(function) for name, function in tests.items()}
        self.globals = {"range": _range}
        self.refused: Final[Sequence[type[nodes.Node]]] = (*_REFUSED, *refused)

    def is_safe_callable(self, obj: Any) -> bool:
        if obj is _range:
            return True
        return getattr(obj, "__name__", None) in _METHODS and hasattr(obj, "__self__")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise OverflowError("** is not available")
        if operator == "%" and not isinstance(left, int | float):
            raise OverflowError("% cannot format text here")
        if operator == "*" and _weight(left) * _weight(right) > MOST_PRODUCT:
            raise OverflowError("the product is too large")
        if operator == "+":
            metering.charge(left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        metering.charge(getattr(__obj, "__self__", None), *args)
        return super().call(__context, __obj, *args, **kwargs)


class TextTemplate:
    """One template, compiled once. TemplateFault if it is invalid or uses an unknown name."""

    def __init__(self, source: str, *, names: Collection[str], sandbox: Sandbox | None = None) -> None:
        sandbox = sandbox or _TEXT
        try:
            tree = sandbox.parse(source)
            _refuse_statements(tree, sandbox.refused)
            metering.Charging().visit(tree)
            with metering.budget(len(source)):  # Jinja evaluates constants at this point
                _refuse_unknown(tree, names, sandbox)
                code = sandbox.compile(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFault(f"is not a Jinja template: {error.message} (line {error.lineno})") from error
        # Python's own compiler has limits, too, such as twenty nested loops.
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
            raise TemplateFault(f"{type(error).__name__}: {error}") from error
        self._template = jinja2.Template.from_code(sandbox, code, sandbox.globals)
        self._chars = len(source)

    def render(self, context: Mapping[str, object]) -> str:
        """The text for these values; if it is longer than `MOST_OUTPUT`, the whole lines within that limit.
        TemplateFault if it cannot be rendered."""
        text = self._text(context, MOST_OUTPUT)
        return text if len(text) <= MOST_OUTPUT else text[:MOST_OUTPUT].rpartition("\n")[0]

    def render_whole(self, context: Mapping[str, object], *, most_chars: int) -> str:
        """The text for these values. TemplateFault if it cannot be rendered, or is longer than `most_chars`."""
        text = self._text(context, most_chars)
        if len(text) > most_chars:
            raise TemplateFault(f"gives more than {most_chars} characters")
        return text

    def _text(self, context: Mapping[str, object], most_chars: int) -> str:
        """The text. Rendering stops after more than `most_chars` characters."""
        pieces: list[str] = []
        size = 0
        try:
            with metering.budget(self._chars):
                for piece in self._template.generate(context):
                    pieces.append(piece[: most_chars + 1])
                    size += len(piece)
                    if size > most_chars:
                        break
        except TemplateFault:
            raise
        # Any error (a missing key, a text that is not a number) is the template's.
        except Exception as error:
            raise TemplateFault(f"{type(error).__name__}: {error}") from error
        return "".join(pieces)


def _weight(factor: Any) -> float:
    """How much this factor contributes to the size of a product: its length, or its value."""
    return float(len(factor)) if hasattr(factor, "__len__") else abs(float(factor))


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MOST_RANGE:
        raise OverflowError(f"range() has at most {MOST_RANGE} numbers here")
    return found


def _refuse_statements(tree: nodes.Template, refused: Iterable[type[nodes.Node]]) -> None:
    for kind in refused:
        for found in tree.find_all(kind):
            raise TemplateFault(f"line {found.lineno}: {kind.__name__.lower()} is not available here")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateFault(f"line {loop.lineno}: recursive loops are not available here")
    for reached in tree.find_all(nodes.Getattr):
        _refuse_private(reached.attr, reached.lineno)
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const):
            _refuse_private(str(item.arg.value), item.lineno)


def _refuse_private(name: str, line: int) -> None:
    if name.startswith("_"):
        raise TemplateFault(f"line {line}: {quoted(name)} is not available here")


def _refuse_unknown(tree: nodes.Template, names: Collection[str], sandbox: Sandbox) -> None:
    for name in sorted(jinja2.meta.find_undeclared_variables(tree) - {*names, *sandbox.globals}):
        raise TemplateFault(unknown_name("name", name, names, most=len(names)))


def _in_url(value: object) -> str:
    """A value of a webhook's URL, percent-encoded."""
    if value is None or isinstance(value, jinja2.Undefined):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise TemplateFault("the value is neither text nor a number")
    return quote(str(value), safe="", errors="replace")


_TEXT: Final = Sandbox()
URL_VALUES: Final = Sandbox(finalize=_in_url)
