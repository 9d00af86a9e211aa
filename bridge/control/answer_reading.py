"""How a provider's answer would be read, step by step. Sends nothing."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.config.load import Loaded
from bridge.config.secret import has_reference
from bridge.domain.task import Reading
from bridge.encoding import rfc3339_of_ms
from bridge.expressions.json_text import parse_json
from bridge.net.client import Answer
from bridge.providers.description import Description
from bridge.providers.reading_steps import ReadingStep, explain_reading, named_id
from bridge.providers.results import PollContext

EXAMPLE_BASE: Final = "https://api.example.com"
_HEAD: Final = re.compile(rb"HTTP/[0-9.]+ (\d{3})[^\n]*\n((?:[^\r\n]+\r?\n)*)\r?\n")  # as `curl -i` prints it


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """A saved answer: the body, or the output of `curl -i`. `status` overrides the status in it."""

    data: bytes
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReading:
    """What an answer means for a task, and the steps that led to it. `is_named`: the id was taken from the answer."""

    task_id: str
    is_named: bool
    reading: Reading
    steps: Sequence[ReadingStep]

    def json(self) -> dict[str, Any]:
        reading, seen = self.reading, self.reading.snapshot
        return {
            "id": self.task_id,
            "outcome": reading.kind,
            "reason": reading.detail,
            "status": seen.status if seen else None,
            "urls": list(seen.urls) if seen else [],
            "progress": seen.progress if seen else None,
            "created_at": rfc3339_of_ms(seen.created_ms if seen else None),
            "updated_at": rfc3339_of_ms(seen.updated_ms if seen else None),
            "expires_at": rfc3339_of_ms(seen.expires_ms if seen else None),
            "steps": [{"step": step.what, "lines": list(step.lines)} for step in self.steps],
        }


def read_answer(
    description: Description,
    answer: RecordedAnswer,
    *,
    base_url: str,
    now: float,
    task_id: str | None,
    action: str | None,
    second: RecordedAnswer | None,
) -> AnswerReading:
    """Read an answer as a poll of this task at `base_url` would. Without `task_id`, use the task in the answer.
    `second` is the answer to the second request, if there was one."""
    first = _received(description, answer)
    named = None if task_id is not None else _named(description, first)
    asked_id = task_id or named or "TASK_ID"
    asked = PollContext(
        task_id=asked_id,
        action=description.acting(asked_id, action),
        base_url=base_url,
        now=now,
    )
    then = None if second is None else _received(description, second)
    reading, steps = explain_reading(description, first, asked, second=then)
    return AnswerReading(task_id=asked_id, is_named=named is not None, reading=reading, steps=steps)


def usual_request(description: Description, loaded: Loaded | None) -> tuple[str, str | None]:
    """The base URL and action of an account of this provider in the settings, or else an official host and none."""
    accounts = () if loaded is None else loaded.settings.accounts.values()
    own = [each for each in accounts if each.provider == description.name]
    urls = (*(each.base_url for each in own if each.base_url is not None), *description.base_url)
    base_url = next((url for url in urls if not has_reference(url)), EXAMPLE_BASE)
    return base_url, next((each.action for each in own if each.action is not None), None)


def _received(description: Description, recorded: RecordedAnswer) -> Answer:
    """The answer as the network would deliver it."""
    data = recorded.data
    head = _HEAD.match(data)
    headers: dict[str, str] = {}
    found = 200
    while head is not None:  # one head for each answer before the last, such as 100 Continue
        lines = head[2].decode("latin-1").splitlines()
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        found, data = int(head[1]), data[head.end() :]
        head = _HEAD.match(data)
    is_over_cap = len(data) > description.most_bytes
    trouble = f"the body is larger than {description.most_bytes} bytes" if is_over_cap else ""
    body = data[: description.most_bytes]
    content = body.removeprefix(BOM_UTF8)
    return Answer(recorded.status or found, headers, content, not is_over_cap, trouble, is_over_cap)


def _named(description: Description, answer: Answer) -> str | None:
    try:
        return named_id(description, parse_json(answer.body))
    except orjson.JSONDecodeError:
        return None
