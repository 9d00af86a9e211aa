"""The aggregator's unified format v2: new-api's task without an envelope."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import Create, Form, Json, Query, uuid
from bridge.simulator.tasks import Ending, Script, View

_KIND: Final = "{action:videos|images}"


def _created(view: View) -> Json:
    return {"task_id": view.task.task_id}


def _task(view: View) -> Json:
    results = None
    if view.is_done:
        results = {"output": view.url} if len(view.urls) == 1 else {"outputs": view.urls}
    return {"task_id": view.task.task_id, "platform": "simulated", **newapi.times(view), "data": results}


def _script(action: str) -> Script:
    return Script(ending=Ending.IMAGES if action == "images" else Ending.VIDEOS)


FORM: Final = Form(
    name="unified_v2",
    calls=(
        Create(paths=(f"/v2/{_KIND}/generations",), answer=_created),
        Query(paths=(f"/v2/{_KIND}/generations/{{id}}",), answer=_task),
    ),
    makes=(Ending.VIDEOS, Ending.IMAGES),
    new_id=uuid,
    script=_script,
    unauthorized=newapi.UNAUTHORIZED,
    not_found=newapi.NOT_FOUND,
    limited=newapi.TOO_MANY,
    bad_request=newapi.invalid,
)
