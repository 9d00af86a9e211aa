"""From a description and an answer to a `Reading`. Total: any bytes, any JSON value, any status give a reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import orjson

from bridge.domain.task import Json, Kind, Reading, Snapshot
from bridge.net.client import Answer, Unanswered
from bridge.providers.description import Description, Form
from bridge.providers.envelopes import Found, Task, find, find_listed, spoken_of, within
from bridge.providers.results import Collected, Question, collect
from bridge.providers.selector import selected
from bridge.providers.statuses import Shape, by_status, read_as
from bridge.providers.values import PROGRESS, as_hint_s, as_id, as_message, as_ms, one_line

MAX_DETAIL_CHARS: Final = 400
MAX_WORD_CHARS: Final = 40
BAD_REQUEST: Final = 400  # with which some vendors refuse a task for what is in it
NOT_IMPLEMENTED: Final = 501  # what gateways answer for a vendor's requests that they do not pass on
MAX_KEPT_BYTES: Final = 16 << 10  # of JSON: an input may hold pictures
MAX_DEPTH: Final = 64  # of an answer that ends a task: it is written on into stores and webhooks
ENDING: Final = frozenset({Kind.SUCCEEDED, Kind.EXPIRED_RESULT, Kind.FAILED, Kind.CANCELED})
TOLD: Final = ENDING | {Kind.NOT_FOUND, Kind.NEEDS_INPUT}  # with the provider's own message


def read(
    description: Description,
    answer: Answer | Unanswered,
    asked: Question,
    *,
    second: Answer | Unanswered | None = None,
) -> Reading:
    """What the answer means. In order: whole or not, the answer's own code, the HTTP status, the form. `second` is
    the answer to the second request, where one was needed."""
    body = judge(description, answer)
    if isinstance(body, Reading):
        return body
    assert isinstance(answer, Answer)
    found = find(description, body, asked.task_id)
    if isinstance(found, str):
        return Reading(kind=Kind.AMBIGUOUS, detail=_said(description, body, found))
    reading = _read_found(description, found, _Raw(answer.body), asked)
    if second is None or not reading.lacks_result:
        return reading
    return _read_second(description, found, second, asked, reading)


def read_together(
    description: Description, answer: Answer | Unanswered, asked: Sequence[Question]
) -> Mapping[str, Reading] | Reading:
    """What an answer about many tasks means for each; one that is left out is not known there. A Reading alone: the
    answer as a whole was none."""
    body = judge(description, answer)
    if isinstance(body, Reading):
        return body
    assert isinstance(answer, Answer)
    listed = find_listed(description, body, [each.task_id for each in asked])
    if isinstance(listed, str):
        return Reading(kind=Kind.AMBIGUOUS, detail=_said(description, body, listed))
    absent = Reading(kind=Kind.NOT_FOUND, detail="the list of the tasks asked about leaves this one out")
    readings, raw = {}, _Raw(answer.body)
    for each in asked:
        found = listed[each.task_id]
        readings[each.task_id] = absent if found is None else _read_found(description, found, raw, each)
    return readings


def second_value(description: Description, answer: Answer | Unanswered, asked: Question) -> str | None:
    """What the second request about this task is to hold, when one is needed to get at its results."""
    body = judge(description, answer)
    found = None if isinstance(body, Reading) else find(description, body, asked.task_id)
    if not isinstance(found, Found) or found.form.second_value is None:
        return None
    assert isinstance(answer, Answer)
    value = as_id(found.form.second_value(found.task))
    lacks = value is not None and _read_found(description, found, _Raw(answer.body), asked).lacks_result
    return value if lacks else None


def code_of(description: Description, answer: Answer | Unanswered) -> Json:
    """The answer's own code, None when it has none."""
    if isinstance(answer, Unanswered) or description.codes is None:
        return None
    try:
        return description.codes.at(orjson.loads(answer.body))
    except orjson.JSONDecodeError:
        return None


def judge(description: Description, answer: Answer | Unanswered) -> Json | Reading:
    """The JSON of an answer that may speak of tasks, or what it means when it cannot."""
    if isinstance(answer, Unanswered):
        return Reading(kind=Kind.TRANSIENT, detail=answer.reason, server_trouble=True)
    if not answer.complete:
        return _read_torso(answer)
    try:
        body: Json = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        shape = Shape.TEXT if answer.body.strip() else Shape.EMPTY
        if shape is Shape.EMPTY and answer.status == 200 and description.empty_means is not None:
            return read_as(description.empty_means, answer, said=shape.value)
        return by_status(answer, shape)
    if not isinstance(body, dict | list):
        return by_status(answer, Shape.JSON, said="the answer is no JSON object")
    refused = _refused(description, body, answer)
    return body if refused is None else refused


def _refused(description: Description, body: Json, answer: Answer) -> Reading | None:
    """The reading of an answer whose code or HTTP status says that it speaks of no task."""
    codes = description.codes
    code = None if codes is None else codes.at(body)
    is_2xx = 200 <= answer.status < 300
    if codes is not None and not codes.is_good(code):
        said = _said(description, body, f"code {one_line(str(code), MAX_WORD_CHARS)}")
        kind = codes.kind(code, is_2xx=is_2xx)
        if kind is None or (kind in ENDING and not (is_2xx or answer.status == BAD_REQUEST)):
            reading = by_status(answer, Shape.JSON, said=said)
        elif kind in ENDING:
            return _ended_by_code(description, body, answer, Reading(kind=kind, detail=said))
        else:
            reading = read_as(kind, answer, said=said)
    elif not is_2xx:
        reading = by_status(answer, Shape.JSON, said=_said(description, body))
    else:
        return None
    if reading.kind in {Kind.RATE_LIMITED, Kind.TRANSIENT} and reading.retry_after_s is None:
        return reading._replace(retry_after_s=as_hint_s(selected(description.retry_after, body)))
    return reading


def _ended_by_code(description: Description, body: Json, answer: Answer, reading: Reading) -> Reading:
    flaw = _flaw(_Raw(answer.body), body)
    if flaw is not None:
        return Reading(kind=Kind.AMBIGUOUS, detail=f"{reading.detail}, but {flaw}")
    seen = Snapshot(
        status=reading.detail.partition(":")[0],
        message=as_message(selected(description.error_message, body)),
    )
    return reading._replace(snapshot=seen)


def _read_torso(answer: Answer) -> Reading:
    """An answer of which only a part is there. Its status line and headers are, so a 429 counts."""
    if answer.is_over_cap:
        return Reading(kind=Kind.AMBIGUOUS, detail=f"HTTP {answer.status}: {answer.trouble}")
    if answer.status == 429:
        return read_as(Kind.RATE_LIMITED, answer, said=answer.trouble)
    return read_as(Kind.TRANSIENT, answer, said=answer.trouble)._replace(server_trouble=True)


def _said(description: Description, body: Json, what: str = "") -> str:
    """`what`, and the answer's own message, on one line."""
    message = as_message(selected(description.error_message, body))
    return one_line(": ".join(part for part in (what, message) if part), MAX_DETAIL_CHARS)


def _read_found(description: Description, found: Found, raw: _Raw, asked: Question) -> Reading:
    """What is said of the task. Said twice in one answer, an end counts only when both say the same."""
    reading = _read_whole(description, found, raw, asked)
    for twin in found.twins:
        other = _read_whole(description, spoken_of(found.form, twin), raw, asked)
        if {reading.kind, other.kind} & TOLD and _told(reading) != _told(other):
            detail = f'the answer speaks twice of the task, once "{reading.kind}" and once "{other.kind}"'
            return Reading(kind=Kind.AMBIGUOUS, detail=detail)
    return reading


def _read_whole(description: Description, found: Found, raw: _Raw, asked: Question) -> Reading:
    """Of a success that a gateway tells without a result, the result in the vendor's own answer that it holds."""
    reading = _read_task(description, found, raw, asked)
    if not reading.lacks_result:
        return reading
    inner = (_read_task(description, each, raw, asked) for each in within(description, found))
    return next((each for each in inner if each.kind in {Kind.SUCCEEDED, Kind.EXPIRED_RESULT}), reading)


def _told(reading: Reading) -> object:
    seen = reading.snapshot
    return reading.kind, seen and (seen.urls, seen.result)


def _read_task(description: Description, found: Found, raw: _Raw, asked: Question) -> Reading:
    form, task, word, kind = found.form, found.task, found.word, found.kind
    seen = _seen(form, task, str(word))
    if kind is None:
        is_word = isinstance(word, str | int) and not isinstance(word, bool)
        detail = f'unknown status "{seen.status}"' if is_word else "the status is no word"
        return Reading(kind=Kind.AMBIGUOUS, detail=detail, snapshot=seen)
    if kind in ENDING and (flaw := _flaw(raw, task)) is not None:
        return Reading(kind=Kind.AMBIGUOUS, detail=f'"{seen.status}", but {flaw}')
    if kind is Kind.SUCCEEDED:
        collected = collect(form, task, asked=asked, needs_key=description.needs_key)
        return _read_success(description, form, task, collected, seen)
    detail = one_line(seen.message, MAX_DETAIL_CHARS) if kind in TOLD else ""
    if kind is Kind.NEEDS_INPUT:
        detail = "the task waits for a person to choose or confirm something at the provider"
    return Reading(kind=kind, detail=detail, snapshot=seen)


def _read_second(
    description: Description, found: Found, second: Answer | Unanswered, asked: Question, first: Reading
) -> Reading:
    """The success of a task whose results stand in the answer to a second request."""
    body = judge(description, second)
    if isinstance(body, Reading):
        is_refused = isinstance(second, Answer) and second.status == NOT_IMPLEMENTED
        if is_refused or body.kind in {Kind.NOT_FOUND, Kind.BAD_REQUEST, Kind.FAILED}:
            # It is not the task that is wrong: it has succeeded, and no failure may be told. Nor is it sure that the
            # result is gone: a gateway that does not pass this request on says 404 as well.
            return first._replace(detail=one_line(f"{first.detail}: {body.detail}", MAX_DETAIL_CHARS))
        return body._replace(snapshot=None)
    assert isinstance(second, Answer)
    joined = spoken_of(found.form, {**found.task, "second": body})
    return _read_task(description, joined, _Raw(second.body), asked)


def _seen(form: Form, task: Task, word: str) -> Snapshot:
    return Snapshot(
        one_line(word, MAX_WORD_CHARS),
        as_message(selected(form.message, task)),
        PROGRESS[form.progress_as](selected(form.progress, task)) if form.progress else None,
        as_ms(selected(form.created, task)),
        as_ms(selected(form.updated, task)),
        kept=_kept(form, task) if form.keep else {},
    )


def _kept(form: Form, task: Task) -> dict[str, Json]:
    """The fields to be kept, in the order in which they are named, as long as they have room."""
    kept: dict[str, Json] = {}
    room = MAX_KEPT_BYTES
    for name, selectors in form.keep.items():
        value = next(iter(selected(selectors, task)), None)
        if value is None or _is_deep(value, MAX_DEPTH):
            continue
        size = len(orjson.dumps({name: value}))
        if size <= room:
            kept[name], room = value, room - size
    return kept


def _read_success(description: Description, form: Form, task: Task, collected: Collected, seen: Snapshot) -> Reading:
    if collected.is_empty:
        if form.expired is not None and form.expired(task):
            return Reading(kind=Kind.EXPIRED_RESULT, detail=_gone(), snapshot=seen)
        detail = "the task has succeeded, but the answer holds no result"
        return Reading(kind=Kind.AMBIGUOUS, detail=detail, snapshot=seen, lacks_result=True)
    seen = seen._replace(
        message="" if seen.message.startswith(("https://", "http://")) else seen.message,  # a result, not a message
        result=collected.result,
        urls=collected.urls,
        refused=collected.refused,
        expires_ms=_expires_ms(description, form, task, seen) if collected.urls else None,
    )
    return Reading(kind=Kind.SUCCEEDED, detail=_remarks(collected), snapshot=seen)


def _expires_ms(description: Description, form: Form, task: Task, seen: Snapshot) -> int | None:
    stated = as_ms(selected(form.expires, task))
    if stated is not None or description.result_life is None:
        return stated
    times = (seen.created_ms, seen.updated_ms)
    first, then = times if description.result_life.since == "created" else times[::-1]
    since_ms = first or then
    return None if since_ms is None else since_ms + round(description.result_life.lasts * 1000)


def _gone() -> str:
    return "the task has succeeded, but the provider has already deleted its result"


def _remarks(collected: Collected) -> str:
    """What people should know of the results of a success; mostly nothing."""
    remarks = []
    items = [item for kind in collected.result.values() for item in kind]
    if closed := sum(1 for item in items if item.get("needs_key") is True):
        remarks.append(f"{_counted(closed, 'result')} can only be downloaded with the account's API key")
    if collected.refused:
        were = "was" if len(collected.refused) == 1 else "were"
        count = _counted(len(collected.refused), "result URL")
        remarks.append(f"{count} {were} refused: {'; '.join(collected.refused)}")
    return one_line("; ".join(remarks), MAX_DETAIL_CHARS)


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


class _Raw:
    """The bytes of an answer, looked through at most once, and only when a task ends: it is slow."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @cached_property
    def flaw(self) -> str | None:
        """Why no task is to be ended on the strength of it."""
        try:
            _STRICT.decode(self._body.decode())
        except RecursionError:
            return "the answer is nested too deeply"
        except ValueError:
            return "a key stands twice in the answer"
        return None

    @property
    def is_flat(self) -> bool:
        """Whether nothing in it can be nested too deeply, whatever it is."""
        return self._body.count(b"{") + self._body.count(b"[") <= MAX_DEPTH


def _each_once(pairs: Sequence[tuple[str, Json]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_each_once)


def _flaw(raw: _Raw, task: Json) -> str | None:
    """Why an answer that would end a task is not to be believed."""
    if not raw.is_flat and _is_deep(task, MAX_DEPTH):
        return "the answer is nested too deeply"
    return raw.flaw


def _is_deep(value: Json, most: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(most == 0 or _is_deep(each, most - 1) for each in inner if isinstance(each, dict | list))
