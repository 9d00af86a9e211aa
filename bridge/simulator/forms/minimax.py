"""MiniMax v1: success names a file, whose address takes a second request. Errors come with HTTP 200."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import Create, Form, Json, Query, Reply, saying, seconds, worded
from bridge.simulator.tasks import Ending, View

_STATUS: Final = worded("Queueing", "Processing", "Success", "Fail")


def base_resp(code: int = 0, message: str = "success") -> Json:
    return {"base_resp": {"status_code": code, "status_msg": message}}


def below(path: str) -> tuple[str, ...]:
    return path, f"/minimax{path}"


def _created(view: View) -> Json:
    return {"task_id": view.task.task_id, **base_resp()}


def _task(view: View) -> Json:
    told = {"task_id": view.task.task_id, "status": _STATUS(view)}
    if view.is_done:
        file = {"file_id": view.task.task_id, "video_width": 1920, "video_height": 1080}
        return {**told, **file, **base_resp()}
    return {**told, **(base_resp(1026, view.message) if view.message else base_resp())}


def _file(view: View) -> Json:
    """The file has the task's id."""
    if not view.is_done:
        return base_resp(1000, "file not exist")
    file = {
        "file_id": view.task.task_id,
        "bytes": 20,
        "created_at": seconds(view.ended_at),
        "filename": "output.mp4",
        "purpose": "video_generation",
        "download_url": view.url,
    }
    return {"file": file, **base_resp()}


UNAUTHORIZED: Final = Reply(body=base_resp(1004, "login fail: Please carry the API secret key"))
NOT_FOUND: Final = Reply(body=base_resp(2013, "invalid params, task_id is unknown"))
TOO_MANY: Final = Reply(body=base_resp(1002, "rate limit"))
invalid: Final = saying(200, lambda reason: base_resp(2013, f"invalid params, {reason}"))

FORM: Final = Form(
    name="minimax",
    calls=(
        Create(paths=below("/v1/video_generation"), answer=_created),
        Query(paths=below("/v1/query/video_generation"), id="task_id", answer=_task),
        Query(paths=below("/v1/files/retrieve"), id="file_id", answer=_file, is_poll=False),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"{number:015d}",
    unauthorized=UNAUTHORIZED,
    not_found=NOT_FOUND,
    limited=TOO_MANY,
    bad_request=invalid,
)
