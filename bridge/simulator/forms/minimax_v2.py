"""MiniMax v2 (H3): the task gives the address itself."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms import minimax
from bridge.simulator.forms.form import Create, Form, Json, Query, seconds, worded
from bridge.simulator.tasks import Ending, View

_STATUS: Final = worded("queued", "running", "succeeded", "failed")


def _created(view: View) -> Json:
    return {"task_id": view.task.task_id, **minimax.base_resp()}


def _task(view: View) -> Json:
    task = {
        "id": view.task.task_id,
        "model": view.task.wish.get("model", "MiniMax-H3"),
        "status": _STATUS(view),
        "created_at": seconds(view.task.born_at),
        "updated_at": seconds(view.updated_at),
    }
    if view.is_done:
        task |= {"content": {"url": view.url}, "resolution": "768P", "duration": 5}
    elif view.message:
        task |= {"error": {"code": "1026", "message": view.message}}
    return {"task": task}


FORM: Final = Form(
    name="minimax_v2",
    calls=(
        Create(paths=minimax.below("/v2/video_generation"), answer=_created),
        Query(paths=minimax.below("/v2/query/video_generation/{id}"), answer=_task),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"{number:015d}",
    unauthorized=minimax.UNAUTHORIZED,
    not_found=minimax.NOT_FOUND,
    limited=minimax.TOO_MANY,
    bad_request=minimax.invalid,
)
