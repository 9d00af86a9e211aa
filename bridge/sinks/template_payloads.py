"""The format `template`: a JSON body from the operator's own Jinja template, or from a built-in one.

Outside of a string, a value becomes a JSON value with its own quotes; inside a string it is escaped. So both `"id": {{
task_id }}` and `"text": "Task {{ task_id }}"` work, and no value can end a string or add a key. A missing value is
null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, NoReturn

import jinja2
from jinja2 import nodes

from bridge.domain.event import Event
from bridge.domain.sample import sample_event
from bridge.domain.task import Json
from bridge.encoding import documented, encode, rfc3339_of_ms
from bridge.logs import get_logger
from bridge.sinks.payloads import dotted
from bridge.sinks.templates import Sandbox, TemplateFault, TextTemplate
from bridge.sinks.texts import PLAIN

log = get_logger()

NAMES: Final = (
    "account action archive created_at data ended_at endpoint error_code event_id expires_at label meta "
    "occurred_at progress provider reason result_missing task_id task_result task_status task_status_msg text "
    "title topic type updated_at urls watched_at"
).split()
"""The names that a template may use; null if unknown. Names that are also in `data` have the same value."""

SHIPPED: Final[Mapping[str, str]] = {"cloudevents": "application/cloudevents+json", "midjourney": "application/json"}
"""The built-in templates, each with the media type of its output."""

_SAMPLE_AT: Final = 1_700_000_000.0
_MOST_CHARS: Final = 4 * 1024 * 1024  # the size of a 1 MiB answer in which every line break is escaped

_EDGE: Final = "\x00"  # around each value; JSON cannot contain it, and settings cannot either
_QUOTE: Final = re.compile(r'\\.|(")', re.DOTALL)


class TemplatePayload:
    """The payload of one endpoint with a template. TemplateFault if the template is invalid, or does not give JSON for
    the sample event."""

    def __init__(self, *, endpoint: str, source: str) -> None:
        self._endpoint = endpoint
        self._is_faulty = False
        self._template = body_template(source)

    def __call__(self, event: Event) -> bytes:
        """Valid JSON for every event. If the template fails, returns the documented body, and logs that once."""
        try:
            return encode(self._template.render(template_values(event)))
        except TemplateFault as fault:
            if not self._is_faulty:
                self._is_faulty = True
                log.warning("template.failed", endpoint=self._endpoint, part="body", reason=str(fault))
            return documented(event)


@cache
def shipped(name: str) -> str:
    """The source of a built-in template."""
    return (files("bridge.sinks") / "templates_shipped" / f"{name}.json.j2").read_text(encoding="utf-8")


def template_values(event: Event) -> dict[str, object]:
    """The value of each name in `NAMES`, unchanged."""
    written = PLAIN.write(event)
    return {
        **dict.fromkeys(NAMES),
        **{name: event.data[name] for name in NAMES if name in event.data},
        "data": event.data,
        "occurred_at": round(event.occurred_at * 1000),
        "text": written.body,
        "title": written.title,
        "topic": event.topic.value,
        "type": dotted(event.topic),
    }


def body_template(source: str) -> JsonTemplate:
    """The template, tested with the sample event. TemplateFault if it does not work."""
    template = JsonTemplate(source, names=NAMES)
    try:
        template.render(template_values(sample_event(_SAMPLE_AT)))
    except TemplateFault as fault:
        raise TemplateFault(f"for the sample of `genbridge test`: {fault}") from fault
    return template


class JsonTemplate:
    """One template, compiled once. TemplateFault if it is invalid or uses an unknown name."""

    def __init__(self, source: str, *, names: Collection[str]) -> None:
        self._template = TextTemplate(source, names=names, sandbox=_JSON)

    def render(self, context: Mapping[str, object]) -> Json:
        """The JSON value for these values. TemplateFault if the output is not JSON."""
        text = _joined(self._template.render_whole(context, most_chars=_MOST_CHARS))
        try:
            return json.loads(text, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            near = json.dumps(text[max(0, error.pos - 20) : error.pos + 20])
            raise TemplateFault(f"does not give JSON: {error.msg} near {near} (line {error.lineno})") from error
        except (ValueError, RecursionError) as error:
            raise TemplateFault(f"does not give JSON: {error}") from error


def _joined(text: str) -> str:
    """The text, with each marked value converted to fit its surroundings."""
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
    """A JSON value inside a string: a text without its quotes, nothing for null, anything else as JSON."""
    if value.startswith('"'):
        return value[1:-1]
    return "" if value == "null" else json.dumps(value, ensure_ascii=False)[1:-1]


def _with_edges(value: object) -> str:
    return _EDGE + encode(value, default=_plain).decode() + _EDGE


def _plain(value: object) -> Json:
    """A value as JSON, also for the results of filters and for missing keys."""
    if isinstance(value, jinja2.Undefined):
        return None
    return list(value) if isinstance(value, Iterator) else str(value)


def _as_it_is(value: object, indent: int | None = None) -> object:
    """The filter `tojson`, which people expect. It changes nothing, because every value becomes JSON anyway."""
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_FILTERS: Final[Mapping[str, Any]] = {"tojson": _as_it_is, "rfc3339": rfc3339_of_ms}

# Without this change, the text of a captured block would become a JSON string with its own quotes.
_JSON: Final = Sandbox(
    filters=_FILTERS,
    refused=(nodes.AssignBlock, nodes.FilterBlock),
    finalize=_with_edges,
)
