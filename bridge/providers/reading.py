"""From a description and an answer to a `Reading`. Total: any bytes, any JSON value, any status give a reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from bridge.domain.task import Json, Kind, Reading, Snapshot
from bridge.net.client import Answer, Unanswered
from bridge.providers.description import Description, Form, fold
from bridge.providers.envelopes import Found, find
from bridge.providers.results import Collected, collect
from bridge.providers.selector import selected
from bridge.providers.statuses import Shape, by_status, read_as
from bridge.providers.values import as_message, as_ms, as_percent, one_line

MAX_DETAIL_CHARS: Final = 400
MAX_WORD_CHARS: Final = 40
MAX_DEPTH: Final = 64  # of an answer that ends a task: it is written on into stores and webhooks
ENDING: Final = frozenset({Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked: the task, by which action, at which host."""

    task_id: str
    action: str | None
    own_host: str


def read(description: Description, answer: Answer | Unanswered, asked: Question) -> Reading:
    """What the answer means. In order: whole or not, the answer's own code, the HTTP status, the form."""
    if isinstance(answer, Unanswered):
        return Reading(kind=Kind.TRANSIENT, detail=answer.reason, server_trouble=True)
    if not answer.complete:
        return _read_torso(answer)
    try:
        body: Json = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return by_status(answer, Shape.TEXT if answer.body.strip() else Shape.EMPTY)
    if not isinstance(body, dict):
        return by_status(answer, Shape.JSON, said="the answer is no JSON object")
    code = description.codes.at(body)
    if not description.codes.is_good(code):
        said = _said(description, body, f"code {one_line(str(code), MAX_WORD_CHARS)}")
        kind = description.codes.kind(code)
        return by_status(answer, Shape.JSON, said=said) if kind is None else read_as(kind, answer, said=said)
    if not 200 <= answer.status < 300:
        return by_status(answer, Shape.JSON, said=_said(description, body))
    found = find(description, body, asked.task_id)
    if isinstance(found, str):
        return Reading(kind=Kind.AMBIGUOUS, detail=_said(description, body, found))
    return _read_task(description, found, answer, asked)


def _read_torso(answer: Answer) -> Reading:
    """An answer of which only a part is there. Its status line and headers are, so a 429 counts."""
    if answer.is_over_cap:
        return Reading(kind=Kind.AMBIGUOUS, detail=f"HTTP {answer.status}: {answer.trouble}")
    if answer.status == 429:
        return read_as(Kind.RATE_LIMITED, answer, said=answer.trouble)
    return replace(read_as(Kind.TRANSIENT, answer, said=answer.trouble), server_trouble=True)


def _said(description: Description, body: Mapping[str, Json], what: str = "") -> str:
    """`what`, and the answer's own message, on one line."""
    message = as_message(selected(description.error_message, body))
    return one_line(": ".join(part for part in (what, message) if part), MAX_DETAIL_CHARS)


def _read_task(description: Description, found: Found, answer: Answer, asked: Question) -> Reading:
    form, task = found.form, found.task
    word = form.status(task)
    kind = form.meaning.get(fold(word)) if isinstance(word, str) else None
    seen = _seen(form, task, str(word))
    if kind is None:
        detail = f'unknown status "{seen.status}"' if isinstance(word, str) else "the status is no word"
        return Reading(kind=Kind.AMBIGUOUS, detail=detail, snapshot=seen)
    if kind in ENDING and (flaw := _flaw(answer.body, task)) is not None:
        return Reading(kind=Kind.AMBIGUOUS, detail=f'"{seen.status}", but {flaw}')
    if kind is Kind.SUCCEEDED:
        return _read_success(description, collect(form, task, action=asked.action, own_host=asked.own_host), seen)
    detail = one_line(seen.message, MAX_DETAIL_CHARS) if kind in ENDING else ""
    return Reading(kind=kind, detail=detail, snapshot=seen)


def _seen(form: Form, task: Mapping[str, Json], word: str) -> Snapshot:
    return Snapshot(
        status=one_line(word, MAX_WORD_CHARS),
        message=as_message(selected(form.message, task)),
        progress=as_percent(selected(form.progress, task)),
        created_ms=as_ms(selected(form.created, task)),
        updated_ms=as_ms(selected(form.updated, task)),
    )


def _read_success(description: Description, collected: Collected, seen: Snapshot) -> Reading:
    if not collected.urls and not collected.refused:
        detail = "the task has succeeded, but the answer holds no result"
        return Reading(kind=Kind.AMBIGUOUS, detail=detail, snapshot=seen, lacks_result=True)
    since_ms = seen.created_ms or seen.updated_ms
    life_s = description.result_life_s if collected.urls else None
    seen = replace(
        seen,
        message="" if seen.message.startswith(("https://", "http://")) else seen.message,  # a result, not a message
        result=collected.result,
        urls=collected.urls,
        refused=collected.refused,
        expires_ms=since_ms + life_s * 1000 if since_ms is not None and life_s is not None else None,
    )
    return Reading(kind=Kind.SUCCEEDED, detail=_refusals(collected.refused), snapshot=seen)


def _refusals(refused: Sequence[str]) -> str:
    if not refused:
        return ""
    count = "1 result URL was" if len(refused) == 1 else f"{len(refused)} result URLs were"
    return one_line(f"{count} refused: {'; '.join(refused)}", MAX_DETAIL_CHARS)


def _flaw(body: bytes, task: Mapping[str, Json]) -> str | None:
    """Why an answer that would end a task is not to be believed. Looked for once a task, so it may be slow."""
    if _is_deep(task, MAX_DEPTH):
        return "the answer is nested too deeply"
    try:
        json.loads(body.decode(), object_pairs_hook=_each_once)
    except RecursionError:
        return "the answer is nested too deeply"
    except ValueError:
        return "a key stands twice in the answer"
    return None


def _each_once(pairs: Sequence[tuple[str, Json]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")


def _is_deep(value: Json, most: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(most == 0 or _is_deep(each, most - 1) for each in inner if isinstance(each, dict | list))
