"""Resellers' `/v1/video/create` and `/v1/video/query`."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import Create, Form, Json, Query, seconds, worded
from bridge.simulator.tasks import Ending, View

_STATUS: Final = worded("pending", "processing", "completed", "failed")


def _task(view: View) -> Json:
    return {
        "id": view.task.task_id,
        "status": _STATUS(view),
        "video_url": view.url or None,
        "enhanced_prompt": view.task.wish.get("prompt", ""),
        "status_update_time": seconds(view.updated_at),
        "detail": {"error_message": view.message} if view.message else {},
    }


FORM: Final = Form(
    name="video_query",
    calls=(
        Create(paths=("/v1/video/create",), answer=_task),
        Query(paths=("/v1/video/query",), answer=_task),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"sora-2:{newapi.task_id(number)}",
    unauthorized=newapi.UNAUTHORIZED,
    not_found=newapi.NOT_FOUND,
    limited=newapi.TOO_MANY,
    bad_request=newapi.invalid,
)
