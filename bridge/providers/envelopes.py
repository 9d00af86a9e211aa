"""Which form an answer is in, told from the body, and what in it is about our task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.domain.task import Json
from bridge.providers.description import Description, Form
from bridge.providers.selector import Selector, selected
from bridge.providers.values import as_id, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object that speaks of a task, and the form it is in."""

    form: Form
    task: Mapping[str, Json]


def find(description: Description, answer: Mapping[str, Json], task_id: str) -> Found | str:
    """The first form that fits, or why there is none about this task."""
    for form in description.forms.values():
        for selector in form.task:
            candidate = selector(answer)
            if isinstance(candidate, list):
                listed = [item for item in candidate if isinstance(item, dict) and form.status(item) is not None]
                if listed:
                    return _ours(form, listed, task_id)
            elif _fits(form, selector, candidate):
                if (other := _other_id(form, candidate, task_id)) is not None:
                    return f'the answer is about another task: "{one_line(other, 80)}"'
                return Found(form=form, task=candidate)
    return "the answer holds no task in a known form"


def _fits(form: Form, selector: Selector, candidate: Json) -> bool:
    if not isinstance(candidate, dict) or form.status(candidate) is None:
        return False
    # Without an envelope a status alone says little: gateways have `status` in their own errors.
    return selector.expression != "@" or as_id(form.id(candidate)) is not None


def _ours(form: Form, listed: list[dict[str, Json]], task_id: str) -> Found | str:
    for item in listed:
        if as_id(form.id(item)) == task_id:
            return Found(form=form, task=item)
    for item in listed:
        if task_id in selected(form.id_aliases, item):
            return Found(form=form, task=item)
    return f"the answer lists {len(listed)} tasks, ours is not among them"


def _other_id(form: Form, task: Mapping[str, Json], task_id: str) -> str | None:
    """The id of the task that an answer is about, when it is not ours; one of a wrong type (19 digits as a float,
    an object) is nobody's."""
    named = form.id(task)
    own = as_id(named)
    if named in (None, "") or own == task_id or task_id in selected(form.id_aliases, task):
        return None
    return str(named) if own is None else own
