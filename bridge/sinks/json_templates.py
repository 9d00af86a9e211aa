"""Jinja templates that give JSON, and cannot be talked into giving anything else.

A value that a template writes is put where it stands: outside of a string as a whole JSON value with its own quotes,
inside of one escaped, as a part of it. So both `"id": {{ task_id }}` and `"text": "Task {{ task_id }}"` are right, and
no text from outside ends a string or begins a key. What a template reaches for and is not there is null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NoReturn

import jinja2
from jinja2 import nodes

from bridge.domain.task import Json
from bridge.sinks.encoding import encode, rfc3339
from bridge.sinks.templates import Sandbox, Template, TemplateFault

MOST_CHARS: Final = 4 * 1024 * 1024  # a provider's answer, of 1 MiB, and its every line break escaped

_EDGE: Final = "\x00"  # before and after each value; JSON has none, and no template of the settings may hold one
_QUOTE: Final = re.compile(r'\\.|(")', re.DOTALL)


class JsonTemplate:
    """One template, compiled once. TemplateFault when it is no template or uses a name that is not offered."""

    def __init__(self, source: str, *, names: Collection[str]) -> None:
        self._template = Template(source, names=names, sandbox=_JSON)

    def render(self, context: Mapping[str, object]) -> Json:
        """The JSON value it gives for these values. TemplateFault when it gives none."""
        text = _joined(self._template.render_whole(context, most_chars=MOST_CHARS))
        try:
            return json.loads(text, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            near = text[max(0, error.pos - 20) : error.pos + 20]
            raise TemplateFault(
                f"gives no JSON: {error.msg} near {json.dumps(near)} (its line {error.lineno})"
            ) from error
        except (ValueError, RecursionError) as error:
            raise TemplateFault(f"gives no JSON: {error}") from error


def _joined(text: str) -> str:
    """The text with every value between its edges made part of what stands around it."""
    pieces: list[str] = []
    is_in_string = False
    for place, piece in enumerate(text.split(_EDGE)):
        if place % 2:
            pieces.append(_inside(piece) if is_in_string else piece)
        else:
            pieces.append(piece)
            quotes = sum(1 for found in _QUOTE.finditer(piece) if found[1])
            is_in_string ^= bool(quotes % 2)
    return "".join(pieces)


def _inside(value: str) -> str:
    """A JSON value as part of a string: a text without its quotes, nothing for null, all else as it is written."""
    if value.startswith('"'):
        return value[1:-1]
    return "" if value == "null" else json.dumps(value, ensure_ascii=False)[1:-1]


def _with_edges(value: object) -> str:
    return _EDGE + encode(value, default=_plain).decode() + _EDGE


def _plain(value: object) -> Json:
    """What filters and missing keys leave behind, as JSON."""
    if isinstance(value, jinja2.Undefined):
        return None
    return list(value) if isinstance(value, Iterator) else str(value)


def _as_it_is(value: object, indent: int | None = None) -> object:
    """`tojson`, which people are used to writing: every value becomes JSON anyway."""
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number there")


_FILTERS: Final[Mapping[str, Any]] = {"tojson": _as_it_is, "rfc3339": rfc3339}

# A block that is caught as text and written later would be taken for a text with quotes of its own.
_JSON: Final = Sandbox(
    filters=_FILTERS,
    refused=(nodes.AssignBlock, nodes.FilterBlock),
    undefined=jinja2.ChainableUndefined,
    finalize=_with_edges,
)
