"""The format `template`: a body of the operator's own making, or one of those that come along."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from bridge.domain.event import Event
from bridge.domain.sample import sample_event
from bridge.errors import ConfigError
from bridge.logs import get_logger
from bridge.sinks.encoding import encode
from bridge.sinks.json_templates import JsonTemplate
from bridge.sinks.payloads import documented, dotted
from bridge.sinks.templates import TemplateFault
from bridge.sinks.texts import PLAIN

log = get_logger()

NAMES: Final = (
    "account action created_at data endpoint ended_at event_id expires_at label meta occurred_at progress provider "
    "reason task_id task_result task_status task_status_msg text title topic type updated_at urls watched_at"
).split()
"""What a template may use; all are always there, null when unknown. Those that `data` has are as they stand there."""

SHIPPED: Final[Mapping[str, str]] = MappingProxyType(
    {"cloudevents": "application/cloudevents+json", "midjourney": "application/json"}
)
"""The templates that come along, each with the media type of what it gives."""

_SAMPLE_AT: Final = 1_700_000_000.0


class OwnPayload:
    """The payload of one endpoint, from the template of its settings. ConfigError when it is none, or gives no JSON
    for the sample event."""

    def __init__(self, *, endpoint: str, source: str) -> None:
        self._endpoint = endpoint
        self._is_faulty = False
        try:
            self._template = _checked(source)
        except TemplateFault as fault:
            raise ConfigError([f"endpoints.{endpoint}.body: {fault}"]) from fault

    def __call__(self, event: Event) -> bytes:
        """Valid JSON for every event: where the template fails, or gives no JSON, the documented body in its place,
        and the log says so once."""
        try:
            return encode(self._template.render(template_values(event)))
        except TemplateFault as fault:
            if not self._is_faulty:
                self._is_faulty = True
                log.warning("template.failed", endpoint=self._endpoint, part="body", reason=str(fault))
            return documented(event)


@cache
def shipped(name: str) -> str:
    """The source of a template of `SHIPPED`."""
    return (files("bridge.sinks") / "templates_shipped" / f"{name}.json.j2").read_text(encoding="utf-8")


def check_body(source: str) -> str | None:
    """Why this cannot be the body of a webhook, in one line; None when it can."""
    try:
        _checked(source)
    except TemplateFault as fault:
        return str(fault)
    return None


def template_values(event: Event) -> dict[str, object]:
    """What a template is rendered with: every name of `NAMES`, each value exactly as it is."""
    title, text = PLAIN.write(event)
    return {
        **dict.fromkeys(NAMES),
        **{name: event.data[name] for name in NAMES if name in event.data},
        "data": event.data,
        "occurred_at": round(event.occurred_at * 1000),
        "text": text,
        "title": title,
        "topic": event.topic.value,
        "type": dotted(event.topic),
    }


def _checked(source: str) -> JsonTemplate:
    """TemplateFault says what is wrong with it."""
    template = JsonTemplate(source, names=NAMES)
    try:
        template.render(template_values(sample_event(_SAMPLE_AT)))
    except TemplateFault as fault:
        raise TemplateFault(f"for the sample of `genbridge test`: {fault}") from fault
    return template
