"""Runway, direct and below aggregators' prefixes."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import Create, Form, Json, Query, Reply, iso, saying, uuid, worded
from bridge.simulator.tasks import Ending, Script, Stage, View

_STATUS: Final = worded("PENDING", "RUNNING", "SUCCEEDED", "FAILED")
_ACTIONS: Final = (
    "{action:(?:image|text|video)_to_(?:video|image)|video_upscale|character_performance|text_to_speech|sound_effect}"
)


def _created(view: View) -> Json:
    return {"id": view.task.task_id}


def _task(view: View) -> Json:
    told = {"id": view.task.task_id, "status": _STATUS(view), "createdAt": iso(view.task.born_at)}
    match view.stage:
        case Stage.WORKING:
            return {**told, "progress": round(view.progress, 2)}
        case Stage.DONE:
            return {**told, "output": view.urls}
        case Stage.FAILED:
            return {**told, "failure": view.message, "failureCode": "SAFETY.INPUT.TEXT"}
        case Stage.WAITING:
            return told


def _script(action: str) -> Script:
    kinds = {"image": Ending.IMAGES, "speech": Ending.AUDIOS, "effect": Ending.AUDIOS}
    return Script(ending=kinds.get(action.rpartition("_")[2], Ending.VIDEOS))


def _below(path: str) -> tuple[str, ...]:
    return path, f"/runwayml{path}", f"/runway{path}"


FORM: Final = Form(
    name="runway",
    calls=(
        Create(paths=_below(f"/v1/{_ACTIONS}"), answer=_created),
        Query(paths=_below("/v1/tasks/{id}"), answer=_task),
    ),
    makes=(Ending.VIDEOS, Ending.IMAGES, Ending.AUDIOS),
    new_id=uuid,
    script=_script,
    unauthorized=Reply(status=401, body={"error": "The API key is invalid."}),
    not_found=Reply(status=404, body={"error": "Task not found"}),
    limited=Reply(status=429, body={"error": "Too many requests"}),
    bad_request=saying(400, lambda reason: {"error": reason}),
)
