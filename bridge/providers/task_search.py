"""Finds the polled task in an answer, and the form of the answer.

Aggregators wrap the answer of a vendor: `{"code": "success", "data": THE VENDOR'S ANSWER}`, or in new-api's task, whose
`data` is the vendor's answer. A form that fits the answer itself takes precedence over one that fits the inner answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.domain.task import Json, ReadingKind
from bridge.expressions.answer_budget import ExpressionLimit
from bridge.providers.answer_form import Form
from bridge.providers.description import Description
from bridge.providers.json_values import as_id, one_line, opened
from bridge.providers.selector import Selector, selected
from bridge.providers.task_rules import listed

Task = dict[str, Json]

NO_TASK: Final = "the answer holds no task in a known form"
NO_LIST: Final = "the answer holds no list of tasks in a known form"


class FoundTask(NamedTuple):
    """An object about a task, and its form. `twins` are other objects about the same task in the same answer."""

    form: Form
    task: Task
    word: Json  # its status
    kind: ReadingKind | None  # the meaning of the word; None if the form does not know it
    twins: tuple[Task, ...] = ()
    names_ours: bool = False  # contains the task's id, and is not only in the right place


def as_found(form: Form, task: Task, twins: tuple[Task, ...] = (), *, names_ours: bool = False) -> FoundTask:
    """This task as a FoundTask, with the meaning of its status in this form."""
    word = form.word_of(task)
    return FoundTask(form, task, word, form.kind_of(word), twins, names_ours)


def find(description: Description, answer: Json, task_id: str) -> FoundTask | str:
    """The first form that fits, or why the answer contains nothing about this task.

    A form that knows the status takes precedence. If another form has already fitted, it does so only if the object has
    the task's id. The inner answer of an aggregator counts if it has the task's id and nothing outside does. Forms of
    last resort come last.
    """
    outside = _first(description.places, answer, task_id)
    if isinstance(outside, FoundTask) and outside.names_ours and outside.kind is not None:
        return outside  # by far the most frequent case
    found = _outside_or_inside(description, answer, task_id, outside)
    if isinstance(found, FoundTask) and found.kind is not None:
        return found
    is_ours = isinstance(found, FoundTask) and found.names_ours
    for body in (answer,) if is_ours else (answer, inside_of(description, answer)):
        last = _first(description.last_places, body, task_id)
        if isinstance(last, FoundTask) and last.names_ours and last.kind is not None:
            return last
    return found


def _outside_or_inside(
    description: Description, answer: Json, task_id: str, outside: FoundTask | str
) -> FoundTask | str:
    """The task in the inner answer, if that is more certain than what was found outside."""
    inside = _first(description.places, inside_of(description, answer), task_id)
    if isinstance(inside, FoundTask) and inside.names_ours and inside.kind is not None:
        is_same = isinstance(outside, FoundTask) and inside.task is outside.task
        if is_same or not (isinstance(outside, FoundTask) and outside.names_ours):
            return inside
    return outside or NO_TASK


def elsewhere(description: Description, found: FoundTask) -> Iterator[FoundTask]:
    """Where else results of this task may be. First, in the vendor's answer inside an aggregator's task, in each form
    that fits (its ids are the vendor's). Then in the same task, in each form of last resort."""
    inner = inside_of(description, found.task)
    for form, selector in (*description.places, *description.last_places):
        tasks = [item for item in listed(selector(inner)) if isinstance(item, dict) and form.word_of(item) is not None]
        if len(tasks) == 1:
            yield as_found(form, tasks[0])
    yield from (as_found(form, found.task) for form in description.forms.values() if form.last_resort)


def find_listed(
    description: Description, answer: Json, task_ids: list[str]
) -> dict[str, FoundTask | ExpressionLimit | None] | str:
    """The object about each task in a list; or why the answer is not a list of tasks.

    For a task that is not in the list: None, or the limit that kept the id of an item from being read.
    """
    for form, selector in description.places:
        candidate = selector(answer)
        if not isinstance(candidate, list):
            continue
        listing = TaskList(form, candidate)
        if not candidate or listing.tasks:
            return {task_id: listing.about(task_id) or listing.unread for task_id in task_ids}
    return NO_LIST


def _first(places: Sequence[tuple[Form, Selector]], body: Json, task_id: str) -> FoundTask | str:
    """The first form that fits the body; "" for none."""
    first: FoundTask | str = ""
    for form, selector in places:
        found = looked_at(form, selector, body, task_id)
        if isinstance(found, FoundTask) and found.kind is not None and (not first or found.names_ours):
            return found
        first = first or found
    return first


def looked_at(form: Form, selector: Selector, body: Json, task_id: str) -> FoundTask | str:
    """The polled task at this place of an answer; or why it is another task; or "" if the form does not fit."""
    candidate = selector(body)
    if isinstance(candidate, list):
        listing = TaskList(form, candidate)
        if (ours := listing.about(task_id, anywhere=False)) is not None:
            return ours
        if listing.unread is not None:
            raise listing.unread
        return f"the answer lists {len(listing.tasks)} tasks, but not this one" if listing.tasks else ""
    if not isinstance(candidate, dict) or (word := form.word_of(candidate)) is None:
        return ""
    own = own_id(form, candidate)
    if own is None and selector.text == "@" and form.id and form.when is None:
        # A status without the expected id proves little: aggregators have `status` in their own errors. A form with a
        # condition is recognized by the condition.
        return ""
    if own != task_id and (other := _other_id(form, candidate, own, task_id)) is not None:
        return f'the answer is about another task: "{one_line(other, 80)}"'
    return FoundTask(form, candidate, word, form.kind_of(word), (), own is not None)


def inside_of(description: Description, answer: Json) -> Json:
    """The inner answer in the wrapper of an aggregator; None if that is a refusal."""
    inner = opened(answer.get("data")) if isinstance(answer, dict) else None
    codes = description.codes
    return inner if codes is None or codes.is_good(codes.at(inner)) else None


class Item(NamedTuple):
    """An object of a list, with its own id."""

    task: Task
    own: str | None


class TaskList:
    """The items of a list in one form, each read once. `tasks` have a status and an id; `unread` is the limit that
    kept an item from being read."""

    def __init__(self, form: Form, items: list[Json]) -> None:
        self.tasks: list[Item] = []
        self.unread: ExpressionLimit | None = None
        self._form = form
        self._items: list[Item] = []
        for task in items:
            if isinstance(task, dict):
                self._read(task)

    def about(self, task_id: str, *, anywhere: bool = True) -> FoundTask | None:
        """The object about the task in the list. `anywhere`: also an item without a status."""
        return self._ours(self.tasks, task_id) or (self._ours(self._items, task_id) if anywhere else None)

    def _read(self, task: Task) -> None:
        try:
            item = Item(task, own_id(self._form, task))
            is_task = item.own is not None and self._form.word_of(task) is not None
        except ExpressionLimit as limit:
            self.unread = limit
            return
        self._items.append(item)
        if is_task:
            self.tasks.append(item)

    def _ours(self, items: list[Item], task_id: str) -> FoundTask | None:
        named = [item for item in items if item.own == task_id]
        ours = named or [item for item in items if _has_alias(self._form, item.task, task_id)]
        if not ours:
            return None
        twins = tuple(item.task for item in ours[1:])
        return as_found(self._form, ours[0].task, twins, names_ours=ours[0].own is not None)


def own_id(form: Form, task: Task) -> str | None:
    for value in selected(form.id, task):
        if (found := as_id(value)) is not None:
            return found
    return None


def _has_alias(form: Form, task: Task, task_id: str) -> bool:
    return any(as_id(value) == task_id for value in selected(form.id_aliases, task))


def _other_id(form: Form, task: Task, own: str | None, task_id: str) -> str | None:
    """The id of the task that an answer is about, if it is another task. An id of a wrong type (19 digits as a float,
    an object) always counts as another one."""
    if own is None:
        return next((str(named) for named in selected(form.id, task) if named not in (None, "")), None)
    return None if own == task_id or _has_alias(form, task, task_id) else own
