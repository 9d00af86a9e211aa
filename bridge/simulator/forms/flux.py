"""Flux of Black Forest Labs, direct and below an aggregator's `/bfl`."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from bridge.simulator.forms.form import BEARER, Create, Form, Json, Query, Reply, saying, uuid, worded
from bridge.simulator.tasks import Ending, View

_STATUS: Final = worded("Pending", "Pending", "Ready", "Request Moderated")


def _created(view: View) -> Json:
    own = quote(view.task.task_id, safe="")
    return {"id": view.task.task_id, "polling_url": f"{view.base_url}/v1/get_result?id={own}"}


def _result(view: View) -> Json:
    told = {"id": view.task.task_id, "status": _STATUS(view), "result": None, "progress": None}
    if view.is_done:
        lasts = {"start_time": view.begun_at, "end_time": view.ended_at, "duration": view.task.script.lasts_s}
        told["result"] = {"sample": view.url, "prompt": view.task.wish.get("prompt", ""), "seed": 1, **lasts}
    elif view.message:
        told["details"] = {"Moderation Reasons": [view.message]}
    else:
        told["progress"] = view.progress or None
    return told


FORM: Final = Form(
    name="flux",
    calls=(
        Create(paths=("/v1/{action:flux[A-Za-z0-9_.-]*}", "/bfl/v1/{action:flux[A-Za-z0-9_.-]*}"), answer=_created),
        Query(paths=("/v1/get_result", "/bfl/v1/get_result"), answer=_result),
    ),
    makes=(Ending.IMAGES, Ending.VIDEOS),
    new_id=uuid,
    keys=(BEARER, ("x-key", "")),
    unauthorized=Reply(status=401, body={"detail": "Not authenticated - Invalid Authentication"}),
    # documented as a status; the answer of a host that never heard of the task
    not_found=Reply(status=404, body={"id": None, "status": "Task not found", "result": None}),
    limited=Reply(status=429, body={"detail": "Too many active tasks"}),
    bad_request=saying(422, lambda reason: {"detail": reason}),
)
