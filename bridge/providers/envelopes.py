"""Which form an answer is in, told from the body, and what in it is about our task.

Gateways answer for a vendor in envelopes of their own: `{"code": "success", "data": THE VENDOR'S ANSWER}`, or new-api's
task, of which `data` is the vendor's answer. A form that fits the answer itself counts before one that fits what is
inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bridge.domain.task import Json, Kind
from bridge.providers.description import Description, Form
from bridge.providers.selector import Selector, selected
from bridge.providers.values import as_id, one_line

Task = dict[str, Json]


class Found(NamedTuple):
    """An object that speaks of a task, and the form it is in; `twins` are others of the same answer that do so too."""

    form: Form
    task: Task
    word: Json  # its status
    kind: Kind | None  # what that means; None when it is none of the form's words
    twins: tuple[Task, ...] = ()
    names_ours: bool = False  # not by its place alone


def spoken_of(form: Form, task: Task, twins: tuple[Task, ...] = (), *, names_ours: bool = False) -> Found:
    """The task in this form."""
    word = form.status(task)
    return Found(form, task, word, form.kind_of(word), twins, names_ours)


def find(description: Description, answer: Json, task_id: str) -> Found | str:
    """The first form that fits, or why there is none about this task.

    One whose words hold the status is preferred; but once another has fitted, only one that names our id. What stands
    inside an envelope counts when it names our id and nothing outside does.
    """
    outside = _first(description, answer, task_id)
    if isinstance(outside, Found) and outside.names_ours and outside.kind is not None:
        return outside
    inside = _first(description, _inside(description, answer), task_id)
    if isinstance(inside, Found) and inside.names_ours and inside.kind is not None:
        is_same = isinstance(outside, Found) and inside.task is outside.task
        if is_same or not (isinstance(outside, Found) and outside.names_ours):
            return inside
    return outside or "the answer holds no task in a known form"


def within(description: Description, found: Found) -> Iterator[Found]:
    """The vendor's own answer inside the task that a gateway speaks of, in each form that fits. The gateway has said
    whose it is: ids inside are the vendor's."""
    inner = _inside(description, found.task)
    for form, selector in description.places:
        candidate = selector(inner)
        items = candidate if isinstance(candidate, list) else [candidate]
        tasks = [item for item in items if isinstance(item, dict) and form.status(item) is not None]
        if len(tasks) == 1:
            yield spoken_of(form, tasks[0])


def find_listed(description: Description, answer: Json, task_ids: list[str]) -> dict[str, Found | None] | str:
    """What a list says of each task, None for those it leaves out; or why the answer is no list of tasks."""
    for form, selector in description.places:
        candidate = selector(answer)
        if isinstance(candidate, list) and (not candidate or _tasks(form, candidate)):
            listed, named = _tasks(form, candidate), [item for item in candidate if isinstance(item, dict)]
            # One that is named without a status is known there after all.
            return {task_id: _ours(form, listed, task_id) or _ours(form, named, task_id) for task_id in task_ids}
    return "the answer holds no list of tasks in a known form"


def _first(description: Description, body: Json, task_id: str) -> Found | str:
    """The first form that fits the body itself; "" for none."""
    first: Found | str = ""
    for form, selector in description.places:
        found = _looked_at(form, selector, selector(body), task_id)
        if isinstance(found, Found) and found.kind is not None and (not first or found.names_ours):
            return found
        first = first or found
    return first


def _looked_at(form: Form, selector: Selector, candidate: Json, task_id: str) -> Found | str:
    """What the form makes of it: our task, why it is not ours, or "" when it does not fit."""
    if isinstance(candidate, list):
        if not (listed := _tasks(form, candidate)):
            return ""
        return _ours(form, listed, task_id) or f"the answer lists {len(listed)} tasks, ours is not among them"
    if not isinstance(candidate, dict) or (word := form.status(candidate)) is None:
        return ""
    own = _id(form, candidate)
    if own is None and selector.expression == "@" and form.id:
        # Without an envelope a status alone says little, where there should be an id: gateways have `status` in their
        # own errors.
        return ""
    if (other := _other_id(form, candidate, own, task_id)) is not None:
        return f'the answer is about another task: "{one_line(other, 80)}"'
    return Found(form, candidate, word, form.kind_of(word), (), own is not None)


def _inside(description: Description, answer: Json) -> Json:
    """What an envelope round a vendor's answer holds; None when that is a refusal."""
    inner = answer.get("data") if isinstance(answer, dict) else None
    codes = description.codes
    return inner if codes is None or codes.is_good(codes.at(inner)) else None


def _tasks(form: Form, items: list[Json]) -> list[Task]:
    dicts = [item for item in items if isinstance(item, dict)]
    return [item for item in dicts if form.status(item) is not None and _id(form, item) is not None]


def _id(form: Form, task: Task) -> str | None:
    for value in selected(form.id, task):
        if (found := as_id(value)) is not None:
            return found
    return None


def _has_alias(form: Form, task: Task, task_id: str) -> bool:
    return any(as_id(value) == task_id for value in selected(form.id_aliases, task))


def _ours(form: Form, listed: list[Task], task_id: str) -> Found | None:
    named = [item for item in listed if _id(form, item) == task_id]
    ours = named or [item for item in listed if _has_alias(form, item, task_id)]
    if not ours:
        return None
    names_ours = bool(named) or _id(form, ours[0]) is not None
    return spoken_of(form, ours[0], tuple(ours[1:]), names_ours=names_ours)


def _other_id(form: Form, task: Task, own: str | None, task_id: str) -> str | None:
    """The id of the task that an answer is about, when it is not ours; one of a wrong type (19 digits as a float,
    an object) is nobody's."""
    if own is None:
        return next((str(named) for named in selected(form.id, task) if named not in (None, "")), None)
    return None if own == task_id or _has_alias(form, task, task_id) else own
