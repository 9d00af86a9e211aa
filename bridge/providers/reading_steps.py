"""How an answer is read, step by step, for people who write a description."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import orjson

from bridge.domain.task import Json, Reading, ReadingKind
from bridge.encoding import encode
from bridge.expressions.answer_budget import ExpressionLimit
from bridge.expressions.json_text import parse_json
from bridge.net.client import Answer
from bridge.providers.answer_form import Form, Results
from bridge.providers.description import Description
from bridge.providers.json_values import as_code, as_message, as_ms, one_line
from bridge.providers.reading import FUTURE_S, http_error, judge, read, second_value
from bridge.providers.results import PollContext, collect
from bridge.providers.selector import DOTTED, Selector, expressions, selected
from bridge.providers.task_requests import TaskRequest, call_request, task_request
from bridge.providers.task_search import FoundTask, Task, find, inside_of, looked_at, own_id

SHOWN_CHARS: Final = 100
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MEANING: Final[Mapping[ReadingKind, str]] = {
    ReadingKind.PENDING: "the task waits; it is polled again",
    ReadingKind.RUNNING: "the task runs; it is polled again",
    ReadingKind.SUCCEEDED: "the task finishes: task_succeeded",
    ReadingKind.EXPIRED_RESULT: "the task finishes: task_succeeded, without its result",
    ReadingKind.FAILED: "the task finishes: task_failed",
    ReadingKind.CANCELED: "the task finishes: task_canceled",
    ReadingKind.NEEDS_INPUT: "the task waits for a person: task_running, once",
    ReadingKind.NOT_FOUND: "the task is unknown: task_not_found after several such answers (polling.not_found)",
    ReadingKind.BAD_REQUEST: "the request is wrong: task_failed after several such answers (polling.not_found)",
    ReadingKind.NO_ROUTE: "the address is wrong: the task is polled less and less often",
    ReadingKind.AUTH_ERROR: "the key is wrong: the account is blocked until it works again",
    ReadingKind.ACCOUNT_ERROR: "the account cannot be used: it is blocked until it works again",
    ReadingKind.RATE_LIMITED: "too many requests: the account slows down",
    ReadingKind.TRANSIENT: "this says nothing about the task; it is polled again later",
    ReadingKind.AMBIGUOUS: "this finishes nothing; the task is polled again later",
}


NO_WORD: Final = "is not a word; make one in the expression, such as done && 'done' || 'running'"
VAGUE: Final = "if the same action was answered before, this 404 means that the task is unknown"


class ReadingStep(NamedTuple):
    """One step of reading an answer, with its lines for people."""

    what: str
    lines: tuple[str, ...]


def named_id(description: Description, body: Json) -> str | None:
    """The id in an answer, according to the first form that finds one."""
    try:
        return next(_named_ids(description, body), None)
    except ExpressionLimit:
        return None


def _named_ids(description: Description, body: Json) -> Iterator[str]:
    for answer in (body, inside_of(description, body)):
        for form, selector in (*description.places, *description.last_places):
            candidate = selector(answer)
            for task in candidate if isinstance(candidate, list) else [candidate]:
                if isinstance(task, dict) and form.holds_for(task) and (found := own_id(form, task)) is not None:
                    yield found


def explain_reading(
    description: Description, answer: Answer, asked: PollContext, *, second: Answer | None = None
) -> tuple[Reading, list[ReadingStep]]:
    """The result of `read`, and every step from the answer to it. If tasks can be polled together, the answer may be to
    that request, too."""
    may_be_batch = description.route(asked.base_url).batch is not None
    reading = read(description, answer, asked, second=second, may_be_batch=may_be_batch)
    explainer, steps = _Explainer(description, answer, asked, second), []
    try:
        for what, lines in explainer.steps():
            steps.append(ReadingStep(what, tuple(lines)))
    except ExpressionLimit as limit:
        steps.append(ReadingStep("stopped", (str(limit),)))
    steps.append(ReadingStep("outcome", tuple(_outcome(reading))))
    return reading, [step for step in steps if step.lines]


def _lines_of(request: TaskRequest) -> list[str]:
    body = [] if request.body is None else [f"body {request.body.decode(errors='replace')}"]
    return [f"{request.method} {request.url}", *body]


Steps = Iterator[tuple[str, list[str]]]


class _Explainer:
    def __init__(self, description: Description, answer: Answer, asked: PollContext, second: Answer | None) -> None:
        self._description = description
        self._answer = answer
        self._asked = asked
        self._second = second
        self._body: Json = None  # the answer's JSON, once it is parsed

    def steps(self) -> Steps:
        answer = self._answer
        yield "request", self._request()
        is_json, size = True, f"{len(answer.body)} bytes"
        try:
            body: Json = parse_json(answer.body)
            what = f"{size} of JSON"
        except orjson.JSONDecodeError as error:
            is_json = False
            what = f"{size}, not JSON: {error}" if answer.body.strip() else "an empty body"
        yield "answer", [f"HTTP {answer.status}, {what if answer.complete else answer.trouble}"]
        if is_json:
            yield "code", self._code(body)
        judged = judge(self._description, answer)
        if isinstance(judged, Reading):
            return
        self._body = judged
        found = find(self._description, judged, self._asked.task_id)
        yield from self._forms(judged, found)
        if isinstance(found, FoundTask):
            yield from self._task(found)

    def _request(self) -> list[str]:
        asked = self._asked
        try:
            request = task_request(
                self._description, base_url=asked.base_url, task_id=asked.task_id, action=asked.action
            )
        except ValueError as error:
            return [f"none: {error}"]
        return [*_lines_of(request), *self._batch_request()]

    def _batch_request(self) -> list[str]:
        asked, route = self._asked, self._description.route(self._asked.base_url)
        if route.batch is None or route.is_batch_of_one:
            return []
        given = {"ids": [asked.task_id]}
        request = call_request(
            self._description, route.batch, base_url=asked.base_url, action=asked.action, given=given
        )
        return ["or for many tasks:", *_lines_of(request)]

    def _code(self, body: Json) -> list[str]:
        codes = self._description.codes
        if codes is None:
            return []
        code = codes.at(body)
        if code is None:
            return [f"no code at {codes.at.text}"]
        is_2xx = 200 <= self._answer.status < 300
        kind = codes.kind(code, is_2xx=is_2xx)
        unknown = "it counts as an HTTP status" if is_2xx and http_error(code) else "the HTTP status counts"
        means = "is good" if codes.is_good(code) else f"means {kind}" if kind else f"is unknown; {unknown}"
        return [f"{_shown(code)} {means}"]

    def _forms(self, body: Json, found: FoundTask | str) -> Steps:
        task_id, inside = self._asked.task_id, inside_of(self._description, body)
        for name, form in self._description.forms.items():
            fits = [line for selector in form.task if (line := _fit(form, selector, body, task_id)) is not None]
            if not fits and any(_fit(form, selector, inside, task_id) for selector in form.task):
                fits = ["fits the object under data"]
            lines = fits or [f"does not fit: {_unfit(form, selector, body)}" for selector in form.task]
            if isinstance(found, FoundTask) and found.form is form:
                lines = [f"{line}; used" if line.startswith("fits") else line for line in lines]
            yield f"form {name}", list(dict.fromkeys(lines))
        if isinstance(found, str):
            yield "task", [found]

    def _task(self, found: FoundTask) -> Steps:
        form, task = found.form, dict(found.task)
        unknown = "is not one of the form's words; add it to `words`" if type(found.word) in {str, int} else NO_WORD
        means = f"means {found.kind}" if found.kind else unknown
        yield "status", [f"{_shown(found.word)} {means}"]
        yield "message", [text] if (text := as_message(selected(form.message, task))) else []
        yield "error code", [code] if (code := as_code(selected(form.error_code, task))) else []
        yield "times", list(self._times(form, task))
        if read(self._description, self._answer, self._asked).lacks_result:
            yield "second request", self._second_request()
        if self._second is not None and not isinstance(body := judge(self._description, self._second), Reading):
            task["second"] = body
        if found.kind is ReadingKind.SUCCEEDED:
            yield "results", self._all_results(list(self._results(form, task)))
        yield "not used", [", ".join(unused)] if (unused := self._unused(form, found.task)) else []

    def _second_request(self) -> list[str]:
        asked, second = self._asked, self._second
        call = self._description.route(asked.base_url).second
        value = second_value(self._description, self._answer, asked)
        if call is None or value is None:
            return []
        given = {"value": value, "id": asked.task_id}
        request = call_request(self._description, call, base_url=asked.base_url, action=asked.action, given=given)
        hint = "give its answer with --second FILE" if second is None else f"answered HTTP {second.status}"
        return [f"{request.method} {request.url}", hint]

    def _times(self, form: Form, task: Task) -> Iterator[str]:
        for name, selectors in (("created", form.created), ("updated", form.updated), ("expires", form.expires)):
            for value in selected(selectors, task):
                at_ms = as_ms([value], self._description.times.zone)
                if at_ms is None:
                    yield f"{name}: {_shown(value)} is not a time; ignored"
                    continue
                instant = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
                is_ahead = name != "expires" and at_ms > (self._asked.now + FUTURE_S) * 1000
                yield f"{name}: {instant.replace('+00:00', 'Z')}{', ahead of the clock; ignored' if is_ahead else ''}"
                break

    def _all_results(self, own: list[str]) -> list[str]:
        """The lines of `_results`, and the results that are in a later place or in the vendor's answer inside."""
        seen = read(self._description, self._answer, self._asked, second=self._second).snapshot
        held = [f"{kind}: {_item(item)}" for kind, items in (seen.result if seen else {}).items() for item in items]
        if not held or set(held) <= set(own):
            return own
        if set(held).isdisjoint(own):
            return [*(line for line in own if "): nothing" in line), "the vendor's answer inside the task: used", *held]
        return [*own, "a later place has more: used", *(line for line in held if line not in own)]

    def _results(self, form: Form, task: Task) -> Iterator[str]:
        for number, place in enumerate(form.results, 1):
            alone = form.model_copy(update={"results": (place,)})
            collected = collect(alone, task, asked=self._asked, needs_key=self._description.needs_key)
            keys = (name for name in Results.model_fields if name in place.model_fields_set and name != "at_least")
            where = f"place {number} ({', '.join(keys)})"
            if collected.is_empty:
                why = "; ".join(each.why for each in collected.lost)
                yield f"{where}: nothing{f': {why}' if why else ''}{_prefix_hint(place, form, self._body)}"
                continue
            yield f"{where}: used"
            for kind, items in collected.result.items():
                yield from (f"{kind}: {_item(item)}" for item in items)
            yield from (f"refused: {why}" for why in collected.refused)
            return

    def _unused(self, form: Form, task: Task) -> list[str]:
        """The keys of the task that no expression of the form uses, and that contain no result."""
        used = (found.text for _, found in expressions(form) if isinstance(found, Selector))
        mentioned = {name for expression in used for name in NAME.findall(expression)} | set(form.result_urls)
        seen = read(self._description, self._answer, self._asked).snapshot
        urls = [encode(url) for url in seen.urls] if seen else []
        left = {key: encode(value) for key, value in task.items() if key not in mentioned}
        return [one_line(key, SHOWN_CHARS) for key, text in left.items() if not any(url in text for url in urls)]


def _fit(form: Form, selector: Selector, body: Json, task_id: str) -> str | None:
    made = looked_at(form, selector, body, task_id)
    if isinstance(made, str):
        return f"does not count: {made}" if made else None
    return f"fits at {selector.text}" if made.kind else f"fits at {selector.text}, with an unknown status"


def _unfit(form: Form, selector: Selector, body: Json) -> str:
    """Why the object that the selector finds in an answer does not have this form."""
    candidate = selector(body)
    if candidate is None:
        return f"{selector.text} selects nothing"
    if isinstance(candidate, list):
        return f"{selector.text} is a list in which nothing has a status and an id"
    if not isinstance(candidate, dict):
        return f"{selector.text} is {_shown(candidate)}, not an object"
    if not form.holds_for(candidate):
        return f"its condition does not hold: {form.when.text if form.when else ''}"
    if DOTTED.fullmatch(form.status.text) and form.status(candidate) is False:
        return f"the status false {NO_WORD}"
    if form.word_of(candidate) is None:
        return f"no status at {form.status.text}{_prefix_hint(form.status, form, body)}"
    return f"no id at {', '.join(each.text for each in form.id)}"


def _prefix_hint(part: object, form: Form, body: Json) -> str:
    """How to correct a path in this part of the form that begins with the task. Paths already start at the task."""
    paths = [each for _, each in expressions(part) if isinstance(each, Selector) and each(body) is not None]
    tasks = [at.text for at in form.task if any(path.text.startswith(f"{at.text}.") for path in paths)]
    return f"; leave out {tasks[0]}., because paths start at the task" if tasks else ""


def _item(item: Mapping[str, Json]) -> str:
    if item.get("embedded") is True:
        return f"{item.get('media_type')}, {item.get('bytes')} bytes within the answer"
    needs_key = " (needs the key)" if item.get("needs_key") is True else ""
    return f"{item.get('url') or _shown(item.get('text'))}{needs_key}"


def _outcome(reading: Reading) -> Iterator[str]:
    meaning = MEANING[reading.kind]
    if reading.lacks_result:
        meaning = "a success without a result: polled again, and finished after a few such answers (polling.no_result)"
    yield f"{reading.kind}: {meaning}"
    if reading.is_vague:
        yield VAGUE
    if reading.detail:
        yield f"reason: {reading.detail}"
    if reading.unread:
        yield f'event: unknown_status, once for the word "{reading.unread}"'
    if reading.retry_after_s is not None:
        yield f"wait: {reading.retry_after_s:g} s"


def _shown(value: Json) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    shown = one_line(text, SHOWN_CHARS)
    return f'"{shown}"' if isinstance(value, str) else shown
