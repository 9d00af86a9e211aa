"""Finds new tasks in the answers to create calls, and in the pages of a provider's list of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from bridge.domain.ids import clean_task_id
from bridge.domain.list_mark import ListedTask
from bridge.domain.task import Json, Reading, ReadingKind
from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.net.client import Answer, Unanswered
from bridge.ports import ListPage, PageRequest
from bridge.providers.calls import ListCall
from bridge.providers.description import Description
from bridge.providers.json_values import as_code, as_id, as_ms, one_line
from bridge.providers.reading import judge
from bridge.providers.selector import selected
from bridge.providers.success import error_text
from bridge.providers.task_requests import NamedTask, locate, locate_anywhere

ERROR_KEYS: Final = ("error", "errors", "detail")
MOST_CHARS: Final = 300  # maximum for a quoted message
MOST_MORE_CHARS: Final = 2048  # maximum length of the values that an answer gives for the next page


def created(description: Description, answer: Json, base_url: str = "") -> NamedTask | None:
    """The task that this answer of the provider created; None if it created none. `base_url` is
    that of the account, if it is known: addresses below its path are found, too.

    ExpressionLimit if an expression of the description exceeds its budget.
    """
    form = description.created
    with answer_budget():
        if form is None or _is_refused(description, answer) or (_has_error(answer) and not form.when(answer)):
            return None
        url = form.url(answer) if form.url is not None else None
        if isinstance(url, str):
            located = locate(description, base_url, url) or locate_anywhere(description, url)
            if located is not None:
                return located
        task_id = next(filter(None, map(as_id, selected(form.id, answer))), None)
        try:
            return None if task_id is None else NamedTask(clean_task_id(task_id), None)
        except ValueError:
            return None


def created_by_any(descriptions: Mapping[str, Description], answer: Json, base_url: str = "") -> dict[str, NamedTask]:
    """The names of the descriptions whose create call may have given this answer, each with the task. `base_url` is as
    for `created`.

    ExpressionLimit if none fits and an expression of a description exceeds its budget.
    """
    found, limit = {}, None
    for name, description in descriptions.items():
        try:
            with answer_budget():
                is_its_own = description.created is not None and description.created.when(answer)
                task = created(description, answer, base_url) if is_its_own else None
        except ExpressionLimit as error:
            limit = error
            continue
        if task is not None:
            found[name] = task
    if limit is not None and not found:
        raise limit
    return found


def refusal(description: Description, answer: Json) -> str | None:
    """The provider's message in an answer that refuses to create a task; None if it is not a refusal.

    ExpressionLimit if an expression of the description exceeds its budget.
    """
    with answer_budget():
        codes = description.codes
        code = None if codes is None else codes.at(answer)
        said = error_text(description, answer)
        if not _is_refused(description, answer) and not (said and _has_error(answer)):
            return None
        own = as_code([code] if code is not None else selected(description.error_code, answer))
        text = f'"{one_line(said, MOST_CHARS)}"' if said else "without a message"
        return f"{text} (code {own})" if own is not None else text


def reports_success(description: Description, answer: Json) -> bool:
    """Whether the answer has a code of its own that means success.

    ExpressionLimit if the expression exceeds its budget.
    """
    codes = description.codes
    with answer_budget():
        code = None if codes is None else codes.at(answer)
        return codes is not None and code is not None and codes.is_good(code)


def _is_refused(description: Description, answer: Json) -> bool:
    codes = description.codes
    return codes is not None and not codes.is_good(codes.at(answer))


def _has_error(answer: Json) -> bool:
    """Whether an answer has a key that only occurs in errors."""
    is_unsuccessful = isinstance(answer, dict) and answer.get("success") is False
    return is_unsuccessful or (isinstance(answer, dict) and any(answer.get(key) for key in ERROR_KEYS))


def first_pages(call: ListCall, action: str | None) -> Sequence[PageRequest]:
    """The first page of each list, for an account with this action."""
    if not call.takes_action:
        return (PageRequest(is_cut=call.is_cut),)
    actions = dict.fromkeys((*([action] if action else []), *call.actions))
    return tuple(PageRequest(action=each, is_cut=call.is_cut) for each in actions)


def read_list(
    description: Description, call: ListCall, answer: Answer | Unanswered, page: PageRequest
) -> ListPage | Reading:
    """The tasks on a page, and the next page. A Reading if the answer is not a list of tasks."""
    try:
        with answer_budget():
            body = judge(description, answer)
            if isinstance(body, Reading):
                return body
            items = call.items(body)
            if not isinstance(items, list):
                return Reading(kind=ReadingKind.AMBIGUOUS, detail="the answer contains no list of tasks")
            tasks = [task for item in items if (task := _listed(description, call, item)) is not None]
            if items and not tasks:
                return Reading(kind=ReadingKind.AMBIGUOUS, detail="the tasks in the list have no ids")
            return ListPage(tasks=tasks, following=_following(call, body, page, len(items)))
    except ExpressionLimit as limit:
        return Reading(kind=ReadingKind.AMBIGUOUS, detail=f"the list cannot be read: {limit}")


def _listed(description: Description, call: ListCall, item: Json) -> ListedTask | None:
    """The task of an item; None if it has no valid id."""
    found = as_id(next(iter(selected(call.id, item)), None))
    try:
        task_id = clean_task_id(found or "")
    except ValueError:
        return None
    if description.task_rules.id_problem(task_id, account="") is not None:
        return None
    return ListedTask(task_id, as_ms(selected(call.created, item), description.times.zone))


def _following(call: ListCall, body: Json, page: PageRequest, count: int) -> PageRequest | None:
    """The page after one with this many items, according to its answer."""
    more: Mapping[str, Json] = {}
    if call.next_url is not None:
        more = _query_of(call.next_url(body))
    elif call.next:
        more = {name: value for name, selector in call.next.items() if (value := _value(selector(body))) is not None}
    if not count or not (call.is_numbered or more) or len(str(more)) > MOST_MORE_CHARS:
        return None
    return replace(page, number=page.number + 1, offset=page.offset + count, more=more)


def _query_of(url: Json) -> dict[str, Json]:
    try:
        return dict(parse_qsl(urlsplit(url).query)) if isinstance(url, str) else {}
    except ValueError:
        return {}


def _value(found: Json) -> Json:
    """A text or number to send; None for anything else, also for an empty text."""
    is_number = isinstance(found, int) and not isinstance(found, bool)
    return found if is_number or (isinstance(found, str) and found) else None
