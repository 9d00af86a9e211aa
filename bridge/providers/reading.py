"""Turns an answer into a `Reading`, according to a description. Any bytes, any JSON value and any status give a
reading."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import orjson

from bridge.domain.task import ENDING, UNDER_WAY, Json, Reading, ReadingKind, Snapshot
from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.expressions.json_text import parse_json
from bridge.net.client import Answer, Unanswered
from bridge.providers.answer_form import Form
from bridge.providers.description import Description
from bridge.providers.http_status import Shape, by_status, part_of, read_as, shape_of
from bridge.providers.json_values import as_code, as_hint_s, as_id, as_ms, as_progress, is_deep, one_line
from bridge.providers.results import PollContext
from bridge.providers.selector import selected
from bridge.providers.success import (
    AnswerBytes,
    error_text,
    failure_text,
    message_of,
    objects_with_id,
    read_success,
    refined_by_text,
    why_failed,
    with_outer_text,
)
from bridge.providers.task_search import NO_LIST, NO_TASK, FoundTask, Task, as_found, elsewhere, find, find_listed

MAX_DETAIL_CHARS: Final = 400
MAX_WORD_CHARS: Final = 64
ACCEPTED: Final = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT})
REFUSED: Final = 422  # a final refusal of the result: no other request will change it
FUTURE_S: Final = 300.0  # clocks differ by less; a time further ahead is wrong
BAD_REQUEST: Final = 400  # some vendors refuse a task because of its content with this status
HTTP_ERROR: Final = re.compile(r"40[123459]|410|42[59]|5\d\d", re.ASCII)  # without 400 and 422: they say too little
NOT_IMPLEMENTED: Final = 501  # aggregators answer this to requests that they do not forward
MAX_KEPT_BYTES: Final = 16 << 10  # maximum size of JSON, because an input may contain pictures
# Some vendors have one code for too many requests and for no credit, or for bad parameters and an unknown task.
VAGUE_KINDS: Final = frozenset({ReadingKind.RATE_LIMITED, ReadingKind.BAD_REQUEST})
FINISHED: Final = frozenset({ReadingKind.SUCCEEDED, ReadingKind.EXPIRED_RESULT, ReadingKind.FAILED})
REPORTED: Final = ENDING | {ReadingKind.NOT_FOUND, ReadingKind.NEEDS_INPUT}  # reported with the message of the provider


def read(
    description: Description,
    answer: Answer | Unanswered,
    asked: PollContext,
    *,
    second: Answer | Unanswered | None = None,
    may_be_batch: bool = False,
) -> Reading:
    """The meaning of the answer. It is checked in this order: whether it is complete, its own code, the HTTP status,
    its form. `second` is the answer to the second request, if one was needed. `may_be_batch`: the answer may be to the
    request about many tasks, also if that differs from the request about one."""
    try:
        with answer_budget():
            body = judge(description, answer)
            if isinstance(body, Reading):
                return body
            found = find(description, body, asked.task_id)
            if isinstance(found, str):
                # A list of other tasks is no answer to a request about this task.
                is_list = may_be_batch or (found == NO_TASK and description.route(asked.base_url).is_batch_of_one)
                listed = find_listed(description, body, [asked.task_id]) if is_list else found
                if isinstance(listed, str):
                    return _read_unknown(description, body, found)
                return _read_listed(description, listed[asked.task_id], AnswerBytes(answer), asked)
            reading = _read_found(description, found, AnswerBytes(answer), asked)
            if reading.kind is ReadingKind.FAILED:
                return with_outer_text(description, body, reading)
            if second is None or not reading.lacks_result:
                return reading
            return _read_second(description, found, second, asked, reading)
    except ExpressionLimit as limit:
        return _read_limit(limit)


def read_together(
    description: Description, answer: Answer | Unanswered, asked: Sequence[PollContext]
) -> Mapping[str, Reading] | Reading:
    """The meaning of an answer about many tasks, for each task. A task that is missing in the answer is unknown to the
    provider. A single Reading if the answer as a whole says nothing about tasks."""
    try:
        with answer_budget():
            body = judge(description, answer)
            if isinstance(body, Reading):
                return body
            listed = find_listed(description, body, [each.task_id for each in asked])
            if isinstance(listed, str):
                return _read_unknown(description, body, listed)
            raw = AnswerBytes(answer)
            return {each.task_id: _read_listed(description, listed[each.task_id], raw, each) for each in asked}
    except ExpressionLimit as limit:
        return _read_limit(limit)


def second_value(description: Description, answer: Answer | Unanswered, asked: PollContext) -> str | None:
    """The value for the second request about a task whose reading `lacks_result`; None if there is no such request."""
    second = description.route(asked.base_url).second
    if second is None:
        return None
    try:
        with answer_budget():
            body = judge(description, answer)
            found = None if isinstance(body, Reading) else find(description, body, asked.task_id)
            if not isinstance(found, FoundTask):
                return None
            if found.form.second_value is not None:
                return as_id(found.form.second_value(found.task))
            return None if second.needs_value else ""
    except ExpressionLimit:
        return None


def _read_listed(
    description: Description, found: FoundTask | ExpressionLimit | None, raw: AnswerBytes, asked: PollContext
) -> Reading:
    """The reading of one task in a list. An item that cannot be read affects only its own task."""
    if found is None:
        return Reading(kind=ReadingKind.NOT_FOUND, detail="the list of the requested tasks does not contain this one")
    try:
        if isinstance(found, ExpressionLimit):
            raise found
        return _read_found(description, found, raw, asked)
    except ExpressionLimit as limit:
        return _read_limit(limit)


def _read_limit(limit: ExpressionLimit) -> Reading:
    detail = one_line(f"the answer cannot be read: {limit}", MAX_DETAIL_CHARS)
    return Reading(kind=ReadingKind.AMBIGUOUS, detail=detail, unread="expression_limit")


def _read_unknown(description: Description, body: Json, why: str) -> Reading:
    """The reading of an answer that does not contain the task. If it has no known form, its `word` is its keys."""
    if why not in {NO_TASK, NO_LIST}:
        return Reading(kind=ReadingKind.AMBIGUOUS, detail=_said(description, body, why))
    if isinstance(body, dict) and not objects_with_id(body):
        refusal = refined_by_text(
            description, Reading(kind=ReadingKind.AMBIGUOUS, detail=_said(description, body)), body
        )
        if refusal.kind is not ReadingKind.AMBIGUOUS:
            return _about_task(description, refusal, body)
    word = one_line(f"keys {' '.join(body)}" if isinstance(body, dict) and body else "(no keys)", MAX_WORD_CHARS)
    return Reading(kind=ReadingKind.AMBIGUOUS, detail=_said(description, body, why), unread=word)


def code_of(description: Description, answer: Answer | Unanswered) -> Json:
    """The answer's own code; None if it has none."""
    if isinstance(answer, Unanswered) or description.codes is None or part_of(answer) is not None:
        return None
    try:
        return description.codes.of(parse_json(answer.body))
    except (orjson.JSONDecodeError, ExpressionLimit):
        return None


def judge(description: Description, answer: Answer | Unanswered) -> Json | Reading:
    """The JSON of an answer that may be about tasks, or else the reading of the answer."""
    if isinstance(answer, Unanswered):
        return Reading(kind=ReadingKind.TRANSIENT, detail=answer.reason, server_trouble=True)
    if not answer.complete:
        return _read_incomplete(description, answer)
    if (part := part_of(answer)) is not None:
        return read_as(ReadingKind.TRANSIENT, answer, said=part)
    try:
        body: Json = parse_json(answer.body)
    except orjson.JSONDecodeError:
        shape = shape_of(answer.body)
        if shape is Shape.EMPTY and (means := description.empty_means) is not None:
            if answer.status == HTTPStatus.OK or (means in UNDER_WAY and answer.status in ACCEPTED):
                return read_as(means, answer, said=shape.value)
        return by_status(answer, shape)
    if not isinstance(body, dict) and not isinstance(body, list):
        reading = by_status(answer, Shape.JSON, said="the answer is not a JSON object")
        return refined_by_text(description, reading, body)
    refused = _refused(description, body, answer)
    return body if refused is None else refused


def _refused(description: Description, body: Json, answer: Answer) -> Reading | None:
    """The reading of an answer that is not about a task, according to its code or HTTP status."""
    codes = description.codes
    code = None if codes is None else codes.at(body)
    is_2xx = 200 <= answer.status < 300
    if codes is not None and not codes.is_good(code):
        said = _said(description, body, f"code {one_line(str(code), MAX_WORD_CHARS)}")
        kind = codes.kind(code, is_2xx=is_2xx)
        if kind is ReadingKind.SUCCEEDED and is_2xx:
            return None  # the results are in the answer
        may_end = kind is not ReadingKind.SUCCEEDED and (is_2xx or answer.status == BAD_REQUEST)
        if kind is None or (kind in ENDING and not may_end):
            reading = _by_status(answer, code if is_2xx else None, said=said)
            if reading.kind is ReadingKind.AMBIGUOUS:
                reading = reading._replace(unread=f"code {one_line(str(code), MAX_WORD_CHARS)}"[:MAX_WORD_CHARS])
            reading = refined_by_text(description, reading, body)
        elif kind in ENDING:
            return _ended_by_code(description, body, answer, Reading(kind=kind, detail=said), code)
        else:
            reading = read_as(kind, answer, said=said)
            if kind in VAGUE_KINDS:
                reading = refined_by_text(description, reading, body)
    elif not is_2xx:
        reading = refined_by_text(description, by_status(answer, Shape.JSON, said=_said(description, body)), body)
    else:
        return None
    if reading.kind in {ReadingKind.RATE_LIMITED, ReadingKind.TRANSIENT} and reading.retry_after_s is None:
        return reading._replace(retry_after_s=as_hint_s(selected(description.retry_after, body)))
    return _about_task(description, reading, body, code)


def _about_task(description: Description, reading: Reading, body: Json, code: Json = None) -> Reading:
    """The reading of a refusal. If it may finish the task, it has the message and the error code of the answer."""
    if reading.kind in {ReadingKind.BAD_REQUEST, ReadingKind.NOT_FOUND}:
        return reading._replace(snapshot=_refusal(description, body, code))
    return reading


def http_error(code: Json) -> int | None:
    """The HTTP status of an error that a code repeats; None for any other code."""
    text = as_id(code) or ""
    return int(text) if HTTP_ERROR.fullmatch(text) else None


def _by_status(answer: Answer, code: Json, *, said: str) -> Reading:
    """The reading of a refusal with an unknown code. Many aggregators repeat an HTTP status in the code of an answer
    with HTTP 200; that says nothing about the provider's host, so it holds up no other task."""
    status = http_error(code)
    if status is None:
        return by_status(answer, Shape.JSON, said=said)
    meant = by_status(answer._replace(status=status), Shape.JSON)
    return meant._replace(detail=f"HTTP {answer.status}: {said}", server_trouble=False)


def _refusal(description: Description, body: Json, code: Json) -> Snapshot:
    """The message and the error code of an answer that refuses the request."""
    codes = [code] if code is not None else selected(description.error_code, body)
    return Snapshot(message=error_text(description, body), error_code=as_code(codes))


def _ended_by_code(description: Description, body: Json, answer: Answer, reading: Reading, code: Json) -> Reading:
    flaw = AnswerBytes(answer).flaw_in(body)
    if flaw is not None:
        return Reading(kind=ReadingKind.AMBIGUOUS, detail=f"{reading.detail}, but {flaw}")
    seen = _refusal(description, body, code)._replace(status=reading.detail.partition(":")[0])
    return reading._replace(snapshot=seen)


def _read_incomplete(description: Description, answer: Answer) -> Reading:
    """The reading of an incomplete answer. Its status line and headers are complete, so a 429 counts."""
    if answer.is_over_cap:
        name = description.name
        how = (
            f"to read larger answers, raise providers.{name}.most_bytes (for a built-in provider, with extends: {name})"
        )
        detail = f"HTTP {answer.status}: {answer.trouble}; {how}"
        return Reading(kind=ReadingKind.AMBIGUOUS, detail=detail, unread="too_large")
    if answer.status == 429:
        return read_as(ReadingKind.RATE_LIMITED, answer, said=answer.trouble)
    return read_as(ReadingKind.TRANSIENT, answer, said=answer.trouble)._replace(server_trouble=True)


def _said(description: Description, body: Json, what: str = "") -> str:
    """`what` and the message of the answer, on one line."""
    message = error_text(description, body)
    return one_line(": ".join(part for part in (what, message) if part), MAX_DETAIL_CHARS)


def _read_found(description: Description, found: FoundTask, raw: AnswerBytes, asked: PollContext) -> Reading:
    """The reading of the task. If the answer contains the task twice, a final state counts only if both agree."""
    reading = _read_whole(description, found, raw, asked)
    for twin in found.twins:
        other = _read_whole(description, as_found(found.form, twin), raw, asked)
        if {reading.kind, other.kind} & REPORTED and _essence(reading) != _essence(other):
            detail = f'the answer contains the task twice, once as "{reading.kind}" and once as "{other.kind}"'
            return Reading(kind=ReadingKind.AMBIGUOUS, detail=detail)
    return reading


def _read_whole(description: Description, found: FoundTask, raw: AnswerBytes, asked: PollContext) -> Reading:
    """The reading of the task, with the results from all places. A success without a result is searched further: in the
    vendor's answer inside it, and where aggregators put results. A path on the account's own server is a last resort,
    too."""
    best = _read_task(description, found, raw, asked)
    if best.kind in UNDER_WAY:
        return best
    has_own_paths = _has_own_paths(best, asked) and any(place.content for place in found.form.results)
    for each in elsewhere(description, found) if best.lacks_result or has_own_paths else ():
        inner = _read_task(description, each, raw, asked)
        has_results = inner.snapshot is not None and inner.snapshot.result
        if inner.kind is ReadingKind.SUCCEEDED and has_results and not _has_own_paths(inner, asked):
            return inner
        best = inner if best.lacks_result and inner.kind in FINISHED else best
    return best


def _has_own_paths(reading: Reading, asked: PollContext) -> bool:
    """Whether the results are addresses on the account's own server."""
    urls = reading.snapshot.urls if reading.snapshot is not None else ()
    return bool(urls and asked.base_url) and urls[0].startswith(asked.base_url)


def _essence(reading: Reading) -> object:
    seen = reading.snapshot
    return reading.kind, seen and (seen.urls, seen.result)


def _read_task(description: Description, found: FoundTask, raw: AnswerBytes, asked: PollContext) -> Reading:
    form, task, word, kind = found.form, found.task, found.word, found.kind
    seen = _seen(description, form, task, str(word), asked)
    if kind is not None and kind in UNDER_WAY:  # by far the most frequent case, so it comes first
        return Reading(kind, "", seen)
    if kind is None:
        is_word = isinstance(word, str | int) and not isinstance(word, bool)
        detail = f'unknown status "{seen.status}"' if is_word else "the status is not a word"
        return Reading(
            kind=ReadingKind.AMBIGUOUS, detail=detail, snapshot=seen, unread=seen.status if is_word else "(not a word)"
        )
    if kind in ENDING and (flaw := raw.flaw_in(task)) is not None:
        return Reading(kind=ReadingKind.AMBIGUOUS, detail=f'"{seen.status}", but {flaw}')
    if kind is ReadingKind.SUCCEEDED:
        return read_success(description, form, task, asked, seen, raw)
    detail = one_line(seen.message, MAX_DETAIL_CHARS) if kind in REPORTED else ""
    if kind is ReadingKind.FAILED:
        codes = as_code(selected(form.error_code, task))
        seen = seen._replace(message=failure_text(description, form, task), error_code=codes)
        detail = why_failed(seen)
    elif kind is ReadingKind.NEEDS_INPUT:
        detail = "the task waits for a person to choose or confirm something at the provider"
    return Reading(kind=kind, detail=detail, snapshot=seen)


def _read_second(
    description: Description, found: FoundTask, second: Answer | Unanswered, asked: PollContext, first: Reading
) -> Reading:
    """The success of a task whose results are in the answer to a second request."""
    body = judge(description, second)
    if isinstance(body, Reading):
        return _read_refused_second(body, second, first)
    joined = as_found(found.form, {**found.task, "second": body})
    return _read_task(description, joined, AnswerBytes(second), asked)


def _read_refused_second(refused: Reading, second: Answer | Unanswered, first: Reading) -> Reading:
    """The reading of a success whose second request was refused.

    An aggregator that does not forward the request answers 404 or 501, which says nothing about the task. A refusal of
    the result itself fails the task. Another refusal with a message fails it if it is repeated. Everything else is
    retried.
    """
    status = second.status if isinstance(second, Answer) else 0
    said = refused.snapshot or Snapshot()
    is_final = refused.kind is ReadingKind.FAILED or (refused.kind is ReadingKind.BAD_REQUEST and status == REFUSED)
    if is_final or (refused.kind is ReadingKind.BAD_REQUEST and said.message):
        kind = ReadingKind.FAILED if is_final else ReadingKind.BAD_REQUEST
        seen = (first.snapshot or Snapshot())._replace(message=said.message, error_code=said.error_code)
        return Reading(kind=kind, detail=why_failed(seen) if seen.message else refused.detail, snapshot=seen)
    if status == NOT_IMPLEMENTED or refused.kind in {
        ReadingKind.NOT_FOUND,
        ReadingKind.NO_ROUTE,
        ReadingKind.BAD_REQUEST,
    }:
        return first._replace(detail=one_line(f"the result could not be read: {refused.detail}", MAX_DETAIL_CHARS))
    return refused._replace(snapshot=None)


def _seen(description: Description, form: Form, task: Task, word: str, asked: PollContext) -> Snapshot:
    zone, latest_ms = description.times.zone, (asked.now + FUTURE_S) * 1000
    created_ms = as_ms(selected(form.created, task), zone) if form.created else None
    updated_ms = as_ms(selected(form.updated, task), zone) if form.updated else None
    # A time ahead of genbridge's clock is ignored: its time zone is missing or wrong.
    return Snapshot(
        one_line(word, MAX_WORD_CHARS),
        message_of(form, task),
        as_progress(selected(form.progress, task), form.progress_as) if form.progress else None,
        None if created_ms is None or created_ms > latest_ms else created_ms,
        None if updated_ms is None or updated_ms > latest_ms else updated_ms,
        kept=_kept(form, task) if form.keep else {},
    )


def _kept(form: Form, task: Task) -> dict[str, Json]:
    """The fields to keep, in the order of the description, as long as there is room."""
    kept: dict[str, Json] = {}
    room = MAX_KEPT_BYTES
    for name, selectors in form.keep.items():
        value = next(iter(selected(selectors, task)), None)
        if value is None or is_deep(value):
            continue
        size = len(orjson.dumps({name: value}))
        if size <= room:
            kept[name], room = value, room - size
    return kept
