"""new-api's own video route, and its task, which suno and others speak too."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import Create, Form, Json, Query, Reply, percent, saying, seconds, worded
from bridge.simulator.tasks import Ending, View

STATUS: Final = worded("QUEUED", "IN_PROGRESS", "SUCCESS", "FAILURE")
UNAUTHORIZED: Final = Reply(
    status=401,
    body={"error": {"message": "Invalid token (request id: simulated)", "type": "new_api_error", "code": ""}},
)
NOT_FOUND: Final = Reply(status=400, body={"code": "task_not_exist", "message": "task_not_exist", "data": None})
TOO_MANY: Final = Reply(
    status=429, body={"error": {"message": "Too many requests (request id: simulated)", "type": "new_api_error"}}
)


def invalid(reason: str) -> Reply:
    return Reply(status=400, body={"code": "invalid_request", "message": reason, "data": None})


def good(data: Json) -> Json:
    return {"code": "success", "message": "", "data": data}


def times(view: View) -> dict[str, Json]:
    """How the task stands, by the keys that all of new-api's tasks share."""
    return {
        "status": STATUS(view),
        "fail_reason": view.message,
        "submit_time": seconds(view.task.born_at),
        "start_time": seconds(view.begun_at),
        "finish_time": seconds(view.ended_at),
        "progress": percent(view),
    }


def task_id(number: int) -> str:
    return f"task_Simulated{number:023d}"


def _task(view: View) -> Json:
    task = {
        "id": 4242,
        "created_at": seconds(view.task.born_at),
        "updated_at": seconds(view.updated_at),
        "task_id": view.task.task_id,
        "platform": "50",
        "action": "textGenerate",
        "properties": {"input": "", "origin_model_name": view.task.wish.get("model", "simulated")},
        "data": None,
    }
    return good(task | times(view) | ({"result_url": view.url} if view.is_done else {}))


def _created(view: View) -> Json:
    own = view.task.task_id
    return {
        "id": own,
        "task_id": own,
        "object": "video",
        "model": view.task.wish.get("model", "simulated"),
        "status": "queued",
        "progress": 0,
        "created_at": seconds(view.task.born_at),
    }


_KLING: Final = "{action:kling/v1/videos/(?:text2video|image2video)}"

FORM: Final = Form(
    name="newapi",
    calls=(
        Create(paths=("/v1/video/generations", f"/{_KLING}"), answer=_created),
        Query(paths=("/v1/video/generations/{id}", f"/{_KLING}/{{id}}"), answer=_task),
    ),
    makes=(Ending.VIDEOS,),
    new_id=task_id,
    unauthorized=UNAUTHORIZED,
    not_found=NOT_FOUND,
    limited=TOO_MANY,
    bad_request=invalid,
    unknown_method=saying(404, lambda reason: {"error": {"message": reason, "type": "invalid_request_error"}})(
        "Invalid URL"
    ),
)
