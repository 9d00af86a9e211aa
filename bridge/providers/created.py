"""From the JSON answer of a create call to the task that it created."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.domain.ids import clean_task_id
from bridge.domain.task import Json
from bridge.providers.addresses import locate_elsewhere
from bridge.providers.description import Description
from bridge.providers.selector import selected
from bridge.providers.values import as_id

Task = tuple[str, str | None]  # id and, where the answer tells it, action


def created(description: Description, answer: Json) -> Task | None:
    """The id (and action) of the task that this answer of the described provider created; None when it did not."""
    form, codes = description.created, description.codes
    if form is None or (codes is not None and not codes.is_good(codes.at(answer))):
        return None
    url = form.url(answer) if form.url is not None else None
    if isinstance(url, str) and (located := locate_elsewhere(description, url)) is not None:
        return located[1], located[0]
    for value in selected(form.id, answer):
        if (task_id := as_id(value)) is not None:
            try:
                return clean_task_id(task_id), None
            except ValueError:
                return None
    return None


def created_by_any(descriptions: Mapping[str, Description], answer: Json) -> dict[str, Task]:
    """Each description by whose create call this answer may have been given, by name, with the task."""
    found = {}
    for name, description in descriptions.items():
        if description.created is not None and description.created.when(answer):
            if (task := created(description, answer)) is not None:
                found[name] = task
    return found
