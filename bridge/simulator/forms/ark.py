"""Seedance on Volcengine Ark, direct and below aggregators' prefixes."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import Create, Form, Json, Query, Reply, saying, seconds, worded
from bridge.simulator.tasks import Ending, View

_STATUS: Final = worded("queued", "running", "succeeded", "failed")
_TASKS: Final = ("/api/v3/contents/generations/tasks", "/volc/v1/contents/generations/tasks")
_PATHS: Final = (*_TASKS, "/doubao/api/v3/contents/generations/tasks")


def _created(view: View) -> Json:
    return {"id": view.task.task_id}


def _task(view: View) -> Json:
    task = {
        "id": view.task.task_id,
        "model": view.task.wish.get("model", "doubao-seedance-simulated"),
        "status": _STATUS(view),
        "created_at": seconds(view.task.born_at),
        "updated_at": seconds(view.updated_at),
        "service_tier": "default",
    }
    if view.is_done:
        content = {"video_url": view.url, "last_frame_url": view.file("last.png")}
        return {**task, "content": content, "seed": 1, "resolution": "720p", "ratio": "16:9", "duration": 5}
    if view.message:
        return {**task, "error": {"code": "OutputVideoSensitiveContentDetected", "message": view.message}}
    return task


def _error(code: str, message: str, kind: str) -> Json:
    return {"error": {"code": code, "message": message, "param": "", "type": kind}}


FORM: Final = Form(
    name="ark",
    calls=(
        Create(paths=_PATHS, answer=_created),
        Query(paths=tuple(f"{path}/{{id}}" for path in _PATHS), answer=_task),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"cgt-simulated-{number}",
    unauthorized=Reply(
        status=401,
        body=_error("AuthenticationError", "The API key in the request is missing or invalid.", "Unauthorized"),
    ),
    not_found=Reply(status=404, body=_error("ResourceNotFound", "The requested resource was not found.", "NotFound")),
    limited=Reply(status=429, body=_error("RateLimitExceeded", "Too many requests.", "TooManyRequests")),
    bad_request=saying(400, lambda reason: _error("InvalidParameter", reason, "BadRequest")),
)
