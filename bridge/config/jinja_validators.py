"""Checks Jinja templates in the settings. They are parsed, but not rendered. A ValueError says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from bridge.config.validators import http_url, line
from bridge.domain.quoting import quoted
from bridge.expressions.hook_url import has_expression, plain_url

if TYPE_CHECKING:
    from jinja2 import nodes

_CONTROL_IN_PROSE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def hook_url(text: str) -> str:
    """An http or https URL; path and query may contain Jinja expressions."""
    if has_expression(text):
        http_url(plain_url(line(text)))
        template(text)
    else:
        http_url(text)
    return text


def template(text: str) -> str:
    """A Jinja template that can be parsed and uses no private attributes."""
    import jinja2  # here and below, because most settings have no template
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    found = _CONTROL_IN_PROSE.search(text)
    if found is not None:
        raise ValueError(f"contains the control character U+{ord(found[0]):04X}")
    try:
        # Only for parsing. The sinks escape values from outside when they render.
        tree = ImmutableSandboxedEnvironment(autoescape=False).parse(text)
        takes_in = next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None)
        hidden = next((reached for reached in _reached(tree) if reached.startswith("_")), None)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"is not a Jinja template: {error.message} (line {error.lineno})") from None
    except (RecursionError, OverflowError, ValueError):
        raise ValueError("is not a Jinja template: too complicated") from None
    if takes_in is not None:
        raise ValueError(f"a template cannot include other files (line {takes_in.lineno})")
    if hidden is not None:
        raise ValueError(f"the template uses {quoted(hidden)}, which is not available")
    return text


def _reached(tree: nodes.Template) -> Iterable[str]:
    """The literal names of attributes and items that a template uses, in any notation."""
    from jinja2 import nodes

    for attribute in tree.find_all(nodes.Getattr):
        yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.arg.value
    for call in tree.find_all(nodes.Filter):
        if call.name == "attr":
            yield from (arg.value for arg in call.args if isinstance(arg, nodes.Const) and isinstance(arg.value, str))
