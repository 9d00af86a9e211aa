"""The body formats of webhooks. Each is a pure function from any event to valid UTF-8 JSON.

The protocols of Kling and Replicate only have events about tasks. With these formats, all other events are sent in the
documented format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bridge.domain.event import OPERATOR_TOPICS, Event, Topic
from bridge.domain.result_facts import result_texts
from bridge.domain.task import Json
from bridge.encoding import documented, encode, rfc3339_of_ms

Payload = Callable[[Event], bytes]

# Receivers of these protocols know only the protocol's own states, so others are sent as failures.
_IN_KLING: Final[Mapping[str, str]] = {"canceled": "failed", "not_found": "failed", "timed_out": "failed"}
_IN_REPLICATE: Final[Mapping[str, str]] = {"succeed": "succeeded", "not_found": "failed", "timed_out": "failed"}
_HIDDEN_VERSION: Final = "hidden"  # Replicate's word for a model whose version is not public


def kling(event: Event) -> bytes:
    """The flat callback of Kling's legacy protocol, without `final_*_deduction`, which genbridge does not know."""
    if event.topic in OPERATOR_TOPICS:
        return documented(event)
    data, status = event.data, event.topic.facts.status
    result = data.get("task_result")
    return encode(
        {
            "task_id": event.subject,
            "task_status": _IN_KLING.get(status, status),
            "task_status_msg": _why(event),
            "created_at": _first(data, "created_at", "watched_at"),
            "updated_at": _first(data, "updated_at", "ended_at", "watched_at"),
            "task_info": {"external_task_id": _first(data, "label") or ""},
            "task_result": {"images": [], "videos": [], **(result if isinstance(result, Mapping) else {})},
        }
    )


def replicate(event: Event) -> bytes:
    """A prediction, as in Replicate's own webhooks. `output` is a list, or null if there is no result.

    Fields that the provider's description keeps are copied if they have the type that Replicate's clients expect.
    """
    if event.topic in OPERATOR_TOPICS:
        return documented(event)
    data, kept = event.data, event.kept
    status, why = event.topic.facts.status, _why(event)
    status = _IN_REPLICATE.get(status, status)
    output = event.urls or result_texts(data.get("task_result")) or None
    progress = data.get("progress")
    return encode(
        {
            "id": event.subject,
            "model": _kept_text(kept, "model")
            or "/".join(str(part) for part in (data.get("provider"), data.get("action")) if part),
            "version": _kept_text(kept, "version") or _HIDDEN_VERSION,
            "input": _kept_object(kept, "input"),
            "logs": _kept_text(kept, "logs") or _bar(progress) or ("" if status == "failed" else why),
            "output": output,
            "data_removed": data.get("result_missing") is True,
            "error": why if status == "failed" else None,
            "status": status,
            "created_at": rfc3339_of_ms(_first(data, "created_at", "watched_at")),
            "started_at": _kept_text(kept, "started_at") or None,
            "completed_at": rfc3339_of_ms(data.get("ended_at")),
            "urls": {name: url for name, url in _kept_object(kept, "urls").items() if isinstance(url, str)},
            "metrics": _kept_object(kept, "metrics"),
        }
    )


def standard(event: Event) -> bytes:
    """`{"type", "timestamp", "data"}` as Standard Webhooks 1.0.0 recommends; the timestamp is that of the event."""
    timestamp = rfc3339_of_ms(event.occurred_at * 1000)
    return encode({"type": dotted(event.topic), "timestamp": timestamp, "data": event.data})


def newapi(event: Event) -> bytes:
    """new-api's notification. `values` are the task (or account, or endpoint), then the result URLs, in the order of
    `content`."""
    from bridge.sinks.texts import PLAIN  # here, because no other format needs texts

    written = PLAIN.write(event)
    return encode(
        {
            "type": event.topic.value,
            "title": written.title,
            "content": written.body,
            "values": [event.subject or event.account, *event.urls],
            "timestamp": int(event.occurred_at),
        }
    )


PAYLOADS: Final[Mapping[str, Payload]] = {
    "documented": documented,
    "kling": kling,
    "replicate": replicate,
    "standard": standard,
    "newapi": newapi,
}
"""Every format except `template`, by its name in the settings."""


def dotted(topic: Topic) -> str:
    """The topic with a dot after its subject: `task.succeeded`, `task.timed_out`, `account.blocked`."""
    return topic.value.replace("_", ".", 1)


def _why(event: Event) -> str:
    """The provider's message, or else genbridge's reason. For states that Kling's protocol does not have, its own
    reason comes first."""
    said, status = [event.data.get("task_status_msg"), event.data.get("reason")], event.topic.facts.status
    if status in _IN_KLING:
        said.reverse()
    word = status if _IN_KLING.get(status, status) == "failed" else ""
    return next((text for text in said if isinstance(text, str) and text), word)


def _first(data: Mapping[str, Json], *keys: str) -> Json:
    """The first of these values that is not missing."""
    return next((data[key] for key in keys if data.get(key) is not None), None)


def _kept_text(kept: Mapping[str, Json], name: str) -> str:
    value = kept.get(name)
    return value if isinstance(value, str) else ""


def _kept_object(kept: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = kept.get(name)
    return value if isinstance(value, Mapping) else {}


def _bar(percent: Json) -> str:
    """Progress as a line of a model's log, where Replicate's clients expect it."""
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        return ""
    done = round(percent)
    return f"{done}%|{'#' * (done // 10):<10}| {done}/100"
