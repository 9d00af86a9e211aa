"""Finds the new task in the JSON answer of a create call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.domain.ids import clean_task_id
from bridge.domain.task import Json
from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.providers.description import Description
from bridge.providers.json_values import as_code, as_id, one_line
from bridge.providers.selector import selected
from bridge.providers.success import error_text
from bridge.providers.task_requests import locate_anywhere

ERROR_KEYS: Final = ("error", "errors", "detail")
MOST_CHARS: Final = 300  # maximum for a quoted message

Task = tuple[str, str | None]  # id, and the action if the answer contains it


def created(description: Description, answer: Json) -> Task | None:
    """The id (and action) of the task that this answer of the provider created; None if it created none.

    ExpressionLimit if an expression of the description exceeds its budget.
    """
    with answer_budget():
        return _created(description, answer)


def created_by_any(descriptions: Mapping[str, Description], answer: Json) -> dict[str, Task]:
    """The names of the descriptions whose create call may have given this answer, each with the task.

    ExpressionLimit if none fits and an expression of a description exceeds its budget.
    """
    found, limit = {}, None
    for name, description in descriptions.items():
        try:
            with answer_budget():
                is_its_own = description.created is not None and description.created.when(answer)
                task = _created(description, answer) if is_its_own else None
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


def _is_refused(description: Description, answer: Json) -> bool:
    codes = description.codes
    return codes is not None and not codes.is_good(codes.at(answer))


def _has_error(answer: Json) -> bool:
    """Whether an answer has a key that only occurs in errors."""
    is_unsuccessful = isinstance(answer, dict) and answer.get("success") is False
    return is_unsuccessful or (isinstance(answer, dict) and any(answer.get(key) for key in ERROR_KEYS))


def _created(description: Description, answer: Json) -> Task | None:
    form = description.created
    if form is None or _is_refused(description, answer) or (_has_error(answer) and not form.when(answer)):
        return None
    url = form.url(answer) if form.url is not None else None
    if isinstance(url, str) and (located := locate_anywhere(description, url)) is not None:
        return located[1], located[0]
    for value in selected(form.id, answer):
        if (task_id := as_id(value)) is not None:
            try:
                return clean_task_id(task_id), None
            except ValueError:
                return None
    return None
