"""The title and text of an event that people read in a chat or an email."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import orjson

from bridge.domain.event import ENDPOINT_TOPICS, Event, Topic
from bridge.domain.task import Json
from bridge.errors import ConfigError
from bridge.logs import get_logger
from bridge.sinks.neutral import link, neutral, neutral_json, presentable
from bridge.sinks.splitting import MessageLimit, split_text
from bridge.sinks.templates import TemplateFault, TextTemplate

log = get_logger()

MOST_TITLE: Final = 200  # characters
MOST_BODY: Final = 200_000  # each service has its own smaller limit, see `splitting`
MOST_URLS: Final = 500  # more would never fit
MOST_TEXTS: Final = 10
MOST_TEXT: Final = 1_500  # characters of a result that is a text

DEFAULT_TITLE: Final = "{{ name }}: {{ outcome }}"
DEFAULT_BODY: Final = """\
{% for url in urls %}{{ url }}
{% endfor %}
{%- for text in texts %}{{ text }}
{% endfor %}
{%- if reason %}Reason: {{ reason }}
{% endif %}
{%- if message %}Message: {{ message }}
{% endif %}
{%- if task_id %}Task {{ task_id }} of account {{ account }}{% if action %} ({{ action }}){% endif %}: {{ outcome }}
{%- if duration %} after {{ duration }}{% endif %}.
{% endif %}
{%- if expires_at and urls %}Fetch it before {{ expires_at }}.
{% endif %}
{%- if advice %}{{ advice }}
{% endif %}"""

NAMES: Final = (
    "account action advice data duration ended_at endpoint event_id expires_at label message meta name occurred_at "
    "outcome progress provider reason result status task_id texts topic urls watched_at"
).split()
"""The names that a template may use; None (or empty) when unknown."""

OUTCOMES: Final[Mapping[Topic, str]] = MappingProxyType(
    {
        Topic.TASK_SUCCEEDED: "succeeded",
        Topic.TASK_FAILED: "failed",
        Topic.TASK_CANCELED: "canceled",
        Topic.TASK_NOT_FOUND: "not found",
        Topic.TASK_TIMED_OUT: "timed out",
        Topic.TASK_RUNNING: "running",
        Topic.TASK_PROGRESS: "running",
        Topic.TASK_ARCHIVED: "archived",
        Topic.ACCOUNT_BLOCKED: "blocked",
        Topic.ACCOUNT_RESTORED: "restored",
        Topic.ENDPOINT_DISABLED: "disabled",
        Topic.ENDPOINT_FAILING: "failing",
        Topic.ENDPOINT_RECOVERED: "working again",
        Topic.UNKNOWN_STATUS: "an answer could not be read",
    }
)
_ADVICE: Final[Mapping[Topic, str]] = {
    Topic.ACCOUNT_BLOCKED: "Its tasks are kept and go on when it answers again. Check its key and balance.",
    Topic.ACCOUNT_RESTORED: "It answers again; its tasks go on.",
    Topic.ENDPOINT_FAILING: "Its deliveries are retried. To see them: genbridge deliveries --state waiting",
    Topic.ENDPOINT_RECOVERED: "Deliveries that are still waiting are sent when their next retry is due.",
    Topic.UNKNOWN_STATUS: "genbridge status lists such answers. Add a new status word to the provider's description.",
    Topic.ENDPOINT_DISABLED: "Its deliveries wait until its settings change or somebody runs genbridge enable.",
}


class ChatTexts:
    """The texts of one endpoint. ConfigError when a template is invalid."""

    def __init__(self, *, endpoint: str, title: str | None, body: str | None) -> None:
        self._endpoint = endpoint
        self._faulty: set[str] = set()
        problems = []
        self._own: dict[str, TextTemplate] = {}
        for part, source in (("title", title), ("body", body)):
            if source is None:
                continue
            try:
                self._own[part] = TextTemplate(source, names=NAMES)
            except TemplateFault as fault:
                problems.append(f"endpoints.{endpoint}.{part}: {fault}")
        if problems:
            raise ConfigError(problems)

    def write(self, event: Event) -> tuple[str, str]:
        """Title and body, not empty and of limited size. Never raises: if a template of the operator fails, the default
        is used, and the log says so once."""
        values = template_values(event)
        title = presentable(self._render("title", _TITLE, values)).replace("\n", " ")
        written = presentable(self._render("body", _BODY, values))
        rest_at = f"genbridge show {values['task_id'] or ''}".rstrip()
        [body] = split_text(written, MessageLimit(size=MOST_BODY), rest_at=rest_at, most_messages=1)
        if len(title) > MOST_TITLE:
            title = title[: MOST_TITLE - 1] + "…"
        title = title or presentable(_TITLE.render(values))
        return title, body or title

    def _render(self, part: str, default: TextTemplate, values: Mapping[str, object]) -> str:
        own = self._own.get(part)
        if own is None:
            return default.render(values)
        try:
            return own.render(values)
        except TemplateFault as fault:
            if part not in self._faulty:
                self._faulty.add(part)
                log.warning("template.failed", endpoint=self._endpoint, part=part, reason=str(fault))
            return default.render(values)


def bare_texts(event: Event) -> tuple[str, str]:
    """Title and body without a template, for an event whose texts could not be rendered."""
    subject = neutral(event.subject or event.account, most_chars=80)
    urls = event.data.get("urls")
    links = [url for url in urls[:MOST_URLS] if isinstance(url, str)] if isinstance(urls, list | tuple) else []
    title = f"{subject}: {OUTCOMES[event.topic]}"
    return title, presentable("\n".join(map(link, links))) or title


def stored_text(title: str, body: str) -> bytes:
    """The stored body of a delivery to people: JSON with both parts."""
    return orjson.dumps({"title": title, "body": body})


def check_template(source: str) -> str | None:
    """Why this template is invalid, in one line; None when it is valid."""
    try:
        TextTemplate(source, names=NAMES)
    except TemplateFault as fault:
        return str(fault)
    return None


def template_values(event: Event) -> dict[str, object]:
    """The value of each name in `NAMES`: strings from outside made harmless, URLs unchanged."""
    data = event.data
    task_id = None if "task_id" not in data else neutral(event.subject, most_chars=80)
    label = _text(data, "label", most_chars=80)
    reason, message = _text(data, "reason"), _text(data, "task_status_msg")
    watched_at, ended_at = _number(data.get("watched_at")), _number(data.get("ended_at"))
    progress, urls = _number(data.get("progress")), data.get("urls")
    meta, result = neutral_json(data.get("meta") or {}), neutral_json(data.get("task_result") or {})
    links = [link(url) for url in urls[:MOST_URLS] if isinstance(url, str)] if isinstance(urls, list) else []
    inert = {key: neutral_json(value) for key, value in data.items()}
    role = "endpoint" if event.topic in ENDPOINT_TOPICS else "account"
    return {
        "account": _text(data, "account", most_chars=80) or neutral(event.account) or None,
        "action": _text(data, "action", most_chars=80),
        "advice": _ADVICE.get(event.topic),
        "data": {**inert, "meta": meta, "task_result": result, "urls": links},
        "duration": human_duration(_seconds_between(watched_at, ended_at)),
        "ended_at": human_instant(ended_at),
        "endpoint": _text(data, "endpoint", most_chars=80),
        "event_id": event.event_id,
        "expires_at": human_instant(_number(data.get("expires_at"))),
        "label": label,
        "message": None if message == reason else message,
        "meta": meta,
        "name": label or task_id or f"{role} {_text(data, role, most_chars=80) or '?'}",
        "occurred_at": human_instant(event.occurred_at * 1000),
        "outcome": _outcome(event.topic, progress),
        "progress": progress,
        "provider": _text(data, "provider", most_chars=80),
        "reason": reason,
        "result": result,
        "status": _text(data, "task_status", most_chars=80),
        "task_id": task_id,
        "texts": _texts(data.get("task_result")),
        "topic": event.topic.value,
        "urls": links,
        "watched_at": human_instant(watched_at),
    }


def _cut_text(text: str) -> str:
    """At most `MOST_TEXT` characters; an ellipsis replaces the rest."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1].rstrip()}…"


def human_duration(seconds: float | None) -> str | None:
    """`45 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`."""
    if seconds is None or not 0 <= seconds < 1e10:
        return None
    whole = round(seconds)
    for large, small, size, part in (("d", "h", 86_400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def human_instant(ms: float | None) -> str | None:
    """`2026-01-31 12:00 UTC` from milliseconds; None for an invalid instant."""
    if ms is None:
        return None
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return None


def _text(data: Mapping[str, Json], key: str, *, most_chars: int = 500) -> str | None:
    value = data.get(key)
    return neutral(value, most_chars=most_chars) or None if isinstance(value, str) else None


def _texts(result: Json) -> list[str]:
    """Results that are texts (lyrics), made harmless and cut to a length that suits a chat."""
    items = result.get("texts") if isinstance(result, Mapping) else None
    words = [item.get("text") for item in items if isinstance(item, Mapping)] if isinstance(items, Sequence) else []
    found = [text for text in words if isinstance(text, str) and text.strip()][:MOST_TEXTS]
    lines = [_cut_text(text.strip()).splitlines() for text in found]
    return ["\n".join(neutral(line, most_chars=MOST_TEXT) for line in each) for each in lines]


def _number(value: Json) -> float | None:
    """A number of ordinary size; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e15 else None


def _seconds_between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else (end - begin) / 1000


def _outcome(topic: Topic, progress: float | None) -> str:
    return f"{progress:.3g} %" if topic is Topic.TASK_PROGRESS and progress is not None else OUTCOMES[topic]


_TITLE: Final = TextTemplate(DEFAULT_TITLE, names=NAMES)
_BODY: Final = TextTemplate(DEFAULT_BODY, names=NAMES)

PLAIN: Final = ChatTexts(endpoint="", title=None, body=None)
"""The default texts, for webhooks whose receivers show them to people."""
