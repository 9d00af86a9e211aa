"""The body formats of webhooks: each is one pure function from an event to valid UTF-8 JSON, whatever is in the event.

Kling's and Replicate's protocols speak of tasks only: operator topics come in the documented form there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from bridge.domain.event import OPERATOR_TOPICS, TASK_STATUS, Event, Topic
from bridge.domain.task import Json
from bridge.sinks.encoding import encode, rfc3339
from bridge.sinks.texts import PLAIN

Payload = Callable[[Event], bytes]

# Receivers of these protocols wait for one of the protocol's own ends, so ours that it lacks are told as failures.
KLING_STATUS: Final[Mapping[Topic, str]] = MappingProxyType(
    {
        **TASK_STATUS,
        Topic.TASK_CANCELED: "failed",
        Topic.TASK_NOT_FOUND: "failed",
        Topic.TASK_TIMED_OUT: "failed",
    }
)
REPLICATE_STATUS: Final[Mapping[Topic, str]] = MappingProxyType(
    {
        Topic.TASK_SUCCEEDED: "succeeded",
        Topic.TASK_FAILED: "failed",
        Topic.TASK_CANCELED: "canceled",
        Topic.TASK_NOT_FOUND: "failed",
        Topic.TASK_TIMED_OUT: "failed",
        Topic.TASK_RUNNING: "processing",
        Topic.TASK_PROGRESS: "processing",
    }
)
_OWN_ENDS: Final = frozenset({Topic.TASK_CANCELED, Topic.TASK_NOT_FOUND, Topic.TASK_TIMED_OUT})
_UNTOLD_VERSION: Final = "hidden"  # what Replicate itself says of models whose version is not told


def documented(event: Event) -> bytes:
    """`{"topic", "data"}`, in that order: the documented envelope."""
    return encode({"topic": event.topic.value, "data": event.data})


def kling(event: Event) -> bytes:
    """The flat callback of Kling's legacy protocol, of which only `final_*_deduction` is unknown here."""
    if event.topic in OPERATOR_TOPICS:
        return documented(event)
    data = event.data
    result = data.get("task_result")
    return encode(
        {
            "task_id": event.subject,
            "task_status": KLING_STATUS[event.topic],
            "task_status_msg": _why(event),
            "created_at": _first(data, "created_at", "watched_at"),
            "updated_at": _first(data, "updated_at", "ended_at", "watched_at"),
            "task_info": {"external_task_id": _first(data, "label") or ""},
            "task_result": {"images": [], "videos": [], **(result if isinstance(result, Mapping) else {})},
        }
    )


def replicate(event: Event) -> bytes:
    """A prediction, as Replicate's own webhooks carry it. `output` is always a list, or null when there is nothing.

    What the task's description keeps is told as it is, as far as it is of the type that Replicate's clients expect.
    """
    if event.topic in OPERATOR_TOPICS:
        return documented(event)
    data, kept = event.data, event.kept
    status, why = REPLICATE_STATUS[event.topic], _why(event)
    output = _urls(event) or _texts(event) or None
    progress = data.get("progress")
    return encode(
        {
            "id": event.subject,
            "model": _kept_text(kept, "model")
            or "/".join(str(part) for part in (data.get("provider"), data.get("action")) if part),
            "version": _kept_text(kept, "version") or _UNTOLD_VERSION,
            "input": _kept_object(kept, "input"),
            "logs": _kept_text(kept, "logs") or _bar(progress) or ("" if status == "failed" else why),
            "output": output,
            "data_removed": event.topic is Topic.TASK_SUCCEEDED and output is None,
            "error": why if status == "failed" else None,
            "status": status,
            "created_at": rfc3339(_first(data, "created_at", "watched_at")),
            "started_at": _kept_text(kept, "started_at") or None,
            "completed_at": rfc3339(data.get("ended_at")),
            "urls": {name: url for name, url in _kept_object(kept, "urls").items() if isinstance(url, str)},
            "metrics": _kept_object(kept, "metrics"),
        }
    )


def standard(event: Event) -> bytes:
    """`{"type", "timestamp", "data"}` as Standard Webhooks 1.0.0 recommends; the instant is that of the event."""
    timestamp = rfc3339(event.occurred_at * 1000)
    return encode({"type": dotted(event.topic), "timestamp": timestamp, "data": event.data})


def newapi(event: Event) -> bytes:
    """new-api's notification. `values` are what the text is about: the task (or account, or endpoint), then the
    result URLs, in the order of `content`."""
    title, content = PLAIN.write(event)
    return encode(
        {
            "type": event.topic.value,
            "title": title,
            "content": content,
            "values": [event.subject or event.account, *_urls(event)],
            "timestamp": int(event.occurred_at),
        }
    )


PAYLOADS: Final[Mapping[str, Payload]] = MappingProxyType(
    {"documented": documented, "kling": kling, "replicate": replicate, "standard": standard, "newapi": newapi}
)
"""Every format but `template`, by the name it has in the settings."""


def dotted(topic: Topic) -> str:
    """`task.succeeded`, `task.timed_out`, `account.blocked`: what the event is about, a dot, what happened."""
    return topic.value.replace("_", ".", 1)


def _why(event: Event) -> str:
    """The provider's own words, else ours; of an end that is ours and not the provider's, the other way round."""
    said = [event.data.get("task_status_msg"), event.data.get("reason")]
    if event.topic in _OWN_ENDS:
        said.reverse()
    word = TASK_STATUS[event.topic] if KLING_STATUS[event.topic] == "failed" else ""
    return next((text for text in said if isinstance(text, str) and text), word)


def _first(data: Mapping[str, Json], *keys: str) -> Json:
    """The first of these that is known."""
    return next((data[key] for key in keys if data.get(key) is not None), None)


def _kept_text(kept: Mapping[str, Json], name: str) -> str:
    value = kept.get(name)
    return value if isinstance(value, str) else ""


def _kept_object(kept: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = kept.get(name)
    return value if isinstance(value, Mapping) else {}


def _urls(event: Event) -> list[Json]:
    urls = event.data.get("urls")
    return list(urls) if isinstance(urls, Sequence) and not isinstance(urls, str | bytes) else []


def _texts(event: Event) -> list[Json]:
    result = event.data.get("task_result")
    items = result.get("texts") if isinstance(result, Mapping) else None
    found = items if isinstance(items, Sequence) else ()
    return [item["text"] for item in found if isinstance(item, Mapping) and item.get("text")]


def _bar(percent: Json) -> str:
    """Progress as models write it into their logs, where Replicate's clients look for it."""
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        return ""
    done = round(percent)
    return f"{done}%|{'#' * (done // 10):<10}| {done}/100"
